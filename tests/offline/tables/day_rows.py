"""Rows of several days and their table."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa

from skewless.offline.tables.day_partitions import DayWriteResult, write

FIRST, LAST = date(2013, 5, 1), date(2013, 5, 4)
UTC_US = pa.timestamp("us", tz="UTC")
SCHEMA = pa.schema({"key": pa.string(), "event_timestamp": UTC_US, "created_timestamp": UTC_US, "x": pa.int64()})


def batch(*rows):
    """Rows of (key, hours since the first day, x)."""
    start = datetime(2013, 5, 1, tzinfo=UTC)
    times = [start + timedelta(hours=hours) for _, hours, _ in rows]
    columns = [[key for key, _, _ in rows], times, times, [x for _, _, x in rows]]
    return pa.record_batch([pa.array(c, f.type) for c, f in zip(columns, SCHEMA, strict=True)], schema=SCHEMA)


ROWS = [("b", 1, 1), ("a", 5, 2), ("a", 2, 3), ("a", 30, 4), ("a", 71, 5)]


def put(folder: Path, *rows, start=FIRST, end=LAST) -> DayWriteResult:
    return write(folder, [batch(row) for row in rows], ("key",), start, end)


def state(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(p.relative_to(folder)): (p.read_bytes(), p.stat().st_mtime_ns) for p in folder.rglob("*") if p.is_file()
    }
