"""Which versions of a model exist and who answers: model registry, rollout, traffic split. It may import storage and
model.
"""
