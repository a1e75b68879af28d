"""How rows long past their ttl are removed: a project's choice, which all writers read from the catalog.

Held by tests/contract/storage/test_write_policy.py.
"""

from __future__ import annotations

from enum import StrEnum

EXPIRY = b"expiry"
"""The catalog field."""


class ExpiryMode(StrEnum):
    """Who removes expired rows. The default is SWEEP."""

    SWEEP = "sweep"
    """`skewless expire` finds and removes them."""
    SERVER = "server"
    """The server removes them itself, at deadlines that are set when they are written."""


def parse_expiry(entry: bytes | None) -> ExpiryMode:
    """Parse the catalog's entry."""
    return ExpiryMode.SERVER if entry == ExpiryMode.SERVER.encode() else ExpiryMode.SWEEP
