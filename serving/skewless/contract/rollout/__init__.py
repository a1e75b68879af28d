"""Which versions of a model answer: rollouts, their revisions, the traffic split. It may import storage and model."""
