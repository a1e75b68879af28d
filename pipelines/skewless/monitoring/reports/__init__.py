"""Results as pages, JSON and Prometheus metrics. It imports `html` and the rooms whose results it renders."""
