"""Parts of pushed rows, and their compaction."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from skewless.contract.timestamps import to_micros
from skewless.offline.tables import compaction
from skewless.offline.tables.compaction import CompactionResult
from tests.tables.pushed_view import at, source

NOW = to_micros(at(10))
HOUR, DAY = 3_600_000_000, 60 * 24


def fold(
    data: Path, *, now: int = NOW + HOUR, keep: timedelta = compaction.KEEP, before: int = NOW + HOUR, **more
) -> CompactionResult:
    return compaction.run(source(data), before=before, now=now, keep=keep, **more)


def compacted(data: str, now: int) -> None:
    fold(Path(data), now=now, before=2**62, keep=timedelta(0))
