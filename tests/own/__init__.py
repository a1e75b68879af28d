"""The way of a data scientist of their own, from a built wheel: `make own` and `make own-year`."""
