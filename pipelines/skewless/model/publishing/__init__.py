"""From a trained model to a published bundle: ONNX, golden rows, proofs, card. It imports `training` and
`distributions`.
"""
