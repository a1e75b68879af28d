"""Models: training set to bundle to batch scores. It imports `definitions` and what is below it."""
