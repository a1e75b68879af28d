"""Served inputs and scores against the bundle's baseline. It imports `served_log` and `model.distributions`."""
