"""How rows go that are long out of their ttl: a project's choice, which the catalog tells all writers.

Held by tests/contract/storage/test_write_policy.py.
"""

from __future__ import annotations

from enum import StrEnum

EXPIRY = b"expiry"
"""The catalog field."""


class ExpiryMode(StrEnum):
    """Who removes them. A sweep where nothing was chosen."""

    SWEEP = "sweep"
    """`skewless expire` looks for them."""
    SERVER = "server"
    """The server drops them by itself, at deadlines that they were written with."""


def parse_expiry(told: bytes | None) -> ExpiryMode:
    """The choice out of the catalog."""
    return ExpiryMode.SERVER if told == ExpiryMode.SERVER.encode() else ExpiryMode.SWEEP
