"""A day of the served log, compacted in a process that may be killed."""

from __future__ import annotations

from pathlib import Path

from skewless.monitoring.served_log.days import compact


def compact_day(folder: str) -> None:
    compact(Path(folder))
