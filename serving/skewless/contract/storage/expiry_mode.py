"""How rows go that are long out of their ttl: a project's choice, which the catalog tells all writers."""

from __future__ import annotations

from enum import StrEnum

EXPIRY = b"expiry"
"""The catalog field."""


class Expiry(StrEnum):
    """Who removes them. A sweep where nothing was chosen."""

    SWEEP = "sweep"
    """`skewless expire` looks for them."""
    SERVER = "server"
    """The server drops them by itself, at deadlines that they were written with."""


def parse_expiry(told: bytes | None) -> Expiry:
    """The choice out of the catalog."""
    return Expiry.SERVER if told == Expiry.SERVER.encode() else Expiry.SWEEP
