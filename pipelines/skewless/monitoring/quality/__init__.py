"""Expectations of tables and the gates that hold rows to them. It imports `offline` and `definitions`."""
