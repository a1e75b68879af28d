"""Feast's registry compiled to plans, and transforms traced to ONNX. It imports `state`, `offline` and what is below
them.
"""
