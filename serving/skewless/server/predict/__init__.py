"""From a request to its scores: micro-batcher, predictor, score cache, explanations. It imports online_store, decode
and metrics.
"""
