"""Trained models of several libraries as ONNX graphs, and what a ready graph takes and returns. It imports the contract."""
