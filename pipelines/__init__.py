"""HOW data is made, offline: one verb per file."""
