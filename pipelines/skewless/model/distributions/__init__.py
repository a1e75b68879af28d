"""Distributions of a model's inputs and scores: histograms, baseline, divergence. The other rooms of `model` import it."""
