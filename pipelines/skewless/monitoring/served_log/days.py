"""The days of a served log: small files of a day that is over become one, and days that are old enough go.

A server writes a file every few seconds. A folded file names, in its own metadata, the files whose rows it holds: once
it is there those do not count any more, and they are removed. So a reader sees each row once, and a run that is killed
at any step is finished by the next.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from uuid import uuid4

import pyarrow.parquet as pq

from skewless.contract.storage.part_files import sync_folder
from skewless.offline.tables.source import parquet_files
from skewless.runtime.progress import Report, quiet

_FOLDED = "folded-"
_FOLDS = b"skewless.folds"


@dataclass(frozen=True, slots=True)
class ServedDay:
    """A model version's rows of one UTC day of `served_at`."""

    folder: Path
    day: date


@dataclass(frozen=True, slots=True)
class TrimResult:
    """Small files that were folded, and days and their files that were removed."""

    folded: int
    days: int
    files: int

    def __str__(self) -> str:
        return f"{self.folded:,} files folded; {self.days:,} days with {self.files:,} files removed"


def standing(files: Sequence[Path]) -> list[Path]:
    """The files of a served log whose rows count: not those that another one has folded."""
    folded = {file.with_name(name) for file in files if file.name.startswith(_FOLDED) for name in _folds(file)}
    return [file for file in files if file not in folded]


def days(served: Path, models: Sequence[str] = ()) -> Iterator[ServedDay]:
    """The days of all models, or of those named; what is called otherwise is left alone."""
    for folder in sorted(served.glob("model=*/version=*/day=*")):
        if models and folder.parts[-3].removeprefix("model=") not in models:
            continue
        try:
            yield ServedDay(folder, date.fromisoformat(folder.name.removeprefix("day=")))
        except ValueError:
            continue


def trim(found: Iterable[ServedDay], today: date, keep: timedelta | None, report: Report = quiet) -> TrimResult:
    """Fold the days before yesterday, and remove those that began more than `keep` before `today` (None: none).

    Yesterday may still be written: rows wait for seconds.
    """
    folded = gone = files = 0
    listed = list(found)
    for number, one in enumerate(listed):
        report(str(one.folder.name), number, len(listed))
        if keep is not None and today - one.day > keep:
            gone, files = gone + 1, files + _remove(one.folder)
        elif today - one.day > timedelta(days=1):
            folded += fold(one.folder)
    return TrimResult(folded, gone, files)


def fold(folder: Path) -> int:
    """Make the files of a day one; how many they were. A day that is one file already stays."""
    small = standing(parquet_files(folder))
    if len(small) > 1:
        _write(folder, small)
    files = parquet_files(folder)
    for file in set(files) - set(standing(files)):
        file.unlink(missing_ok=True)
    return len(small) if len(small) > 1 else 0


def _write(folder: Path, small: Sequence[Path]) -> None:
    """One file that holds the rows of all of them, row group by row group, and says so."""
    schema = pq.read_schema(small[0])
    names = json.dumps([file.name for file in small]).encode()
    texts = [field.name for field in schema if str(field.type) == "string"]
    unfinished = folder / f".{_FOLDED}{uuid4().hex}.parquet.tmp"
    named = schema.with_metadata({**(schema.metadata or {}), _FOLDS: names})
    try:
        with pq.ParquetWriter(unfinished, named, compression="zstd", use_dictionary=texts) as writer:
            for file in small:
                writer.write_table(pq.read_table(file, partitioning=None).cast(named))
        with unfinished.open("rb+") as written:
            os.fsync(written.fileno())
        unfinished.replace(folder / unfinished.name.removeprefix(".").removesuffix(".tmp"))
        sync_folder(folder)
    finally:
        unfinished.unlink(missing_ok=True)


def _folds(file: Path) -> list[str]:
    names: list[str] = json.loads((pq.read_schema(file).metadata or {}).get(_FOLDS, b"[]"))
    return names


def _remove(folder: Path) -> int:
    """Remove a day; how many files it had."""
    files = parquet_files(folder)
    for file in folder.iterdir():
        file.unlink(missing_ok=True)
    folder.rmdir()
    return len(files)
