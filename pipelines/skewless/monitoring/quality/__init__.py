"""Expectations of feature views and the gates that check rows against them. It imports `offline` and `definitions`."""
