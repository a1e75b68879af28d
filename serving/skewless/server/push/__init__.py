"""Rows pushed over HTTP: receiver and group commit. It imports online_store."""
