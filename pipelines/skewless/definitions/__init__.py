"""Feast's registry compiled to plans, and transforms traced to ONNX. It imports `offline` and the contract."""
