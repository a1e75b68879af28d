"""Parts: small Parquet files by which rows are appended to a table. Stored rows are never rewritten.

    <table>/pushed-<microseconds>-<tag>.parquet

Names ascend in time. A compaction folds parts into the table's days.
`part_encoding` is their content, and `skewless.files.table_parts` writes them.
"""

from __future__ import annotations

import msgspec

PREFIX = "pushed-"
FOLDED = "parts.parquet"
"""The file of a day that parts were folded into; it is beside those of `ingest`, and sorts before any part."""

RECORD = ".folded.json"
"""The file that says when parts were folded that are not removed yet: microseconds since 1970, by path in the table."""


def parse_folded(content: bytes) -> dict[str, int]:
    """The content of a table's RECORD. Raises: msgspec.MsgspecError."""
    return msgspec.json.decode(content, type=dict[str, int])


def part_name(now: int, tag: str) -> str:
    """The name of a part written at `now` (microseconds since 1970); `tag` distinguishes parts of one microsecond."""
    return f"{PREFIX}{now:016d}-{tag}.parquet"


def part_time(name: str) -> int | None:
    """When a part was written, in microseconds since 1970; None if its name has no time (a part of another writer)."""
    stamp = name.removeprefix(PREFIX).partition("-")[0]
    return int(stamp) if len(stamp) == 16 and stamp.isdigit() else None
