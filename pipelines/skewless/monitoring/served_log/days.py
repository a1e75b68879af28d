"""Maintains the days of a served log: compacts the small files of a past day into one, and removes old days.

A server writes a file every few seconds. A compacted file names, in its own metadata, the files whose rows it has: as soon
as it exists, readers ignore those files, and they are removed. So a reader sees each row once, and a run that is killed at
any step is finished by the next one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from uuid import uuid4

import pyarrow.parquet as pq

from skewless.files.durable import replace_file
from skewless.offline.tables.source import parquet_files
from skewless.runtime.progress import Report, quiet
from skewless.runtime.result_counts import ResultCounts

_COMPACTED = "folded-"
_REPLACED = b"skewless.folds"


@dataclass(frozen=True, slots=True)
class ServedDay:
    """A model version's rows of one UTC day of `served_at`."""

    folder: Path
    day: date


@dataclass(frozen=True, slots=True)
class TrimResult(ResultCounts):
    """How many small files were compacted, and how many days with how many files were removed."""

    compacted: int
    days: int
    files: int

    def __str__(self) -> str:
        return f"{self.compacted:,} files compacted; {self.days:,} days with {self.files:,} files removed"


def active_files(files: Sequence[Path]) -> list[Path]:
    """The files of a served log whose rows count: those that no compacted file replaces."""
    replaced = {
        file.with_name(name) for file in files if file.name.startswith(_COMPACTED) for name in _replaced_by(file)
    }
    return [file for file in files if file not in replaced]


def days(served: Path, models: Sequence[str] = ()) -> Iterator[ServedDay]:
    """The days of all models, or of those in `models`; folders that are not named by a date are skipped."""
    for folder in sorted(served.glob("model=*/version=*/day=*")):
        if models and folder.parts[-3].removeprefix("model=") not in models:
            continue
        try:
            yield ServedDay(folder, date.fromisoformat(folder.name.removeprefix("day=")))
        except ValueError:
            continue


def trim(served_days: Iterable[ServedDay], today: date, keep: timedelta | None, report: Report = quiet) -> TrimResult:
    """Compact the days before yesterday, and remove those that began more than `keep` before `today` (None: none).

    Yesterday is left alone, as a server may still write it: rows wait in its queue for seconds.
    """
    compacted = removed = files = 0
    listed = list(served_days)
    for number, served_day in enumerate(listed):
        report(str(served_day.folder.name), number, len(listed))
        if keep is not None and today - served_day.day > keep:
            removed, files = removed + 1, files + _remove(served_day.folder)
        elif today - served_day.day > timedelta(days=1):
            compacted += compact(served_day.folder)
    return TrimResult(compacted, removed, files)


def compact(folder: Path) -> int:
    """Compact the files of a day into one; returns how many they were, 0 where the day is one file already."""
    small = active_files(parquet_files(folder))
    if len(small) > 1:
        _write(folder, small)
    files = parquet_files(folder)
    for file in set(files) - set(active_files(files)):
        file.unlink(missing_ok=True)
    return len(small) if len(small) > 1 else 0


def _write(folder: Path, small: Sequence[Path]) -> None:
    """Write a compacted file with the rows of `small`, one row group for each, and their names in its metadata."""
    schema = pq.read_schema(small[0])
    names = json.dumps([file.name for file in small]).encode()
    texts = [field.name for field in schema if str(field.type) == "string"]
    named = schema.with_metadata({**(schema.metadata or {}), _REPLACED: names})
    with (
        replace_file(folder / f"{_COMPACTED}{uuid4().hex}.parquet") as building,
        pq.ParquetWriter(building, named, compression="zstd", use_dictionary=texts) as writer,
    ):
        for file in small:
            writer.write_table(pq.read_table(file, partitioning=None).cast(named))


def _replaced_by(file: Path) -> list[str]:
    """The names of the files that a compacted file replaces."""
    names: list[str] = json.loads((pq.read_schema(file).metadata or {}).get(_REPLACED, b"[]"))
    return names


def _remove(folder: Path) -> int:
    """Remove the folder of a day; returns how many files it had."""
    files = parquet_files(folder)
    for file in folder.iterdir():
        file.unlink(missing_ok=True)
    folder.rmdir()
    return len(files)
