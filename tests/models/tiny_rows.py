"""Rows of the tiny model's views in a real online store."""

from __future__ import annotations

from tests.models import tiny

MINUTE = 60_000_000


def fill(redis_url: str) -> None:
    tiny.write_catalog(redis_url)
    event = tiny.NOON - 30 * MINUTE
    delays = {"mean": 7.25, "departures": 2**53 + 1, "gate": "B12"}
    tiny.write_row(redis_url, tiny.DELAYS, "JFK", delays, event=event, created=event + MINUTE)
    tiny.write_row(redis_url, tiny.PLANES, "N1", {"age": 12.5, "built": 978_307_200_000_000}, event=0)
