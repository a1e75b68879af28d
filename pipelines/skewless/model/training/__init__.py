"""Training sets and training. It imports `distributions`, `conversion` and the join."""
