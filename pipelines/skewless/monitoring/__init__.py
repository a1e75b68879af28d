"""Monitoring of production: audit, drift, quality, retraining. It imports `model` and the rooms below it."""
