"""Compiles Feast's registry to plans and traces transforms to ONNX. It imports `state`, `offline` and what is below
them.
"""
