"""Verify, expiry and removal of what the online store holds. It imports `store` and `materialization`."""
