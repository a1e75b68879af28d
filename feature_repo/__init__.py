"""WHAT features mean: definitions that Feast applies and nobody imports, and the transforms that both sides share."""
