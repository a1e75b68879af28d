"""What is watched in production: audit, drift, quality, retraining. It imports `model` and what is below it."""
