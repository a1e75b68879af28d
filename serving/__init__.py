"""HOW a prediction is made, now."""
