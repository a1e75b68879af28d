"""Publishing a trained model as a bundle: ONNX, golden rows, proofs, card. It imports `training` and `distributions`."""
