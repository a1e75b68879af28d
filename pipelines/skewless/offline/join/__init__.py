"""The point-in-time join of a spine to feature views in bounded memory. It imports `tables` and what is below it."""
