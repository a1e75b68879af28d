"""Training sets and training. It imports `distributions` and the join."""
