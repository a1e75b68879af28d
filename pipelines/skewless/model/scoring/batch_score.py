"""Batch scoring: a spine through the join, the transforms and the model that answer requests, to a folder of Parquet.

    <folder>/scores-00000.parquet   the spine's columns, then the score; at most 262,144 rows, in order of time
    <folder>/_scored.json           what decided them, and when

What was scored before a kill is kept beside the folder and not scored again, as long as bundle, spine and tables are
the same. The folder is replaced whole, and stays as it is where the scores are those that it holds.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa

from skewless.contract.columns import ColumnValues
from skewless.contract.errors import SkewlessError
from skewless.contract.model.bundle import Bundle
from skewless.contract.model.manifest import MANIFEST
from skewless.contract.model.signature import to_columns
from skewless.contract.plan import ColumnSource as PlanSource
from skewless.files.durable import put_folder, replace_file, same_files, write_file
from skewless.offline.files import parquet_writer
from skewless.offline.join.point_in_time import PointInTimeJoin, request_values
from skewless.offline.join.spine import SpineFiles
from skewless.offline.tables.source import TableSource, parquet_files
from skewless.runtime.errors import SpineMismatch
from skewless.runtime.progress import Report, quiet
from skewless.runtime.settings import DEFAULT_JOIN_MEMORY

RESULT = "_scored.json"
_ASKED = "_asked.json"
_ROWS_A_PART = 1 << 18
_ROWS_AT_ONCE = 1 << 14
"""Rows that the model is given at a time: what a score is does not depend on it, what a run holds does."""


@dataclass(eq=False)
class ScoringUnderWay(SkewlessError):
    """Two runs would write one folder."""

    folder: str

    def __str__(self) -> str:
        return f"another run writes the scores in {self.folder}; wait for it, or name another --out"


class ScoringInputs(msgspec.Struct, frozen=True):
    """All that decides the scores: a model version, and SHA-256 of its manifest, the spine's and the tables' files (by
    name, size and time of change).
    """

    model: str
    version: str
    manifest: str
    spine: str
    start: str
    end: str
    tables: dict[str, str]


class ScoringRun(msgspec.Struct, frozen=True):
    """A finished run. `scored_at` (ISO 8601) is when it was begun, and when the scores are known since; `made` is
    whether this call wrote the folder, `resumed` how many parts it found finished.
    """

    asked: ScoringInputs
    scored_at: str
    rows: int
    parts: tuple[str, ...]
    made: bool = True
    resumed: int = 0


@dataclass(frozen=True, slots=True)
class ScoringSpine:
    """The rows of a Parquet file or folder with start <= event_timestamp < end."""

    path: Path
    start: datetime
    end: datetime

    def files(self) -> list[Path]:
        return [self.path] if self.path.is_file() else parquet_files(self.path)

    def parts(self) -> Iterator[pa.Table]:
        """In order of time, one at least. Raises: SourceMissing, SpineMismatch."""
        return SpineFiles(self.path, self.start, self.end).one_part_at_least(_ROWS_A_PART)


def run(
    bundle: Bundle,
    manifest_folder: Path,
    sources: Mapping[str, TableSource],
    spine: ScoringSpine,
    folder: Path,
    *,
    scored_at: datetime,
    report: Report = quiet,
    memory: int = DEFAULT_JOIN_MEMORY,
) -> ScoringRun:
    """Score the spine as of each row's time and write `folder`; the bundle's own folder is `manifest_folder`.

    `memory` bounds the join (see `skewless.offline.join.memory_budget`); beside it a part of the spine and its scores are held.
    Raises: SpineMismatch, SourceMissing, SourceMismatch, ScoringUnderWay; then the folder is as it was.
    """
    asked = _asked(bundle, manifest_folder, sources, spine)
    with _alone(folder) as building:
        begun = _resumable(building, asked, scored_at)
        rows, names, resumed = 0, [], 0
        for number, part in enumerate(spine.parts()):
            file = building / f"scores-{number:05d}.parquet"
            if file.exists():
                resumed += 1
            else:
                _write(file, _frames(bundle, sources, part, report, memory))
            names.append(file.name)
            rows += len(part)
        done = ScoringRun(asked, begun, rows, tuple(names), resumed=resumed)
        before = read(folder)
        if before is not None and _holds(folder, building, done.parts):
            shutil.rmtree(building)
            return msgspec.structs.replace(before, made=False, resumed=resumed)
        write_file(building / RESULT, msgspec.json.format(msgspec.json.encode(done)))
        _replace(folder, building)
    return done


def read(folder: Path) -> ScoringRun | None:
    """The finished run that a folder holds, if it holds one."""
    try:
        return msgspec.json.decode((folder / RESULT).read_bytes(), type=ScoringRun)
    except (OSError, msgspec.MsgspecError):
        return None


def _frames(
    bundle: Bundle, sources: Mapping[str, TableSource], part: pa.Table, report: Report, memory: int
) -> Iterator[pa.Table]:
    """The part's rows with their scores, a block of the join at a time."""
    plan = bundle.plan
    for block in PointInTimeJoin(plan, sources, part, statuses=False, memory=memory).blocks(report):
        rows = part.slice(block.start, block.rows)
        views = {name: found.admitted() for name, found in block.views.items()}
        yield with_scores(rows, bundle, bundle.assembler.values(views, request_values(plan, rows)))


def with_scores(rows: pa.Table, bundle: Bundle, values: Mapping[PlanSource, ColumnValues]) -> pa.Table:
    """The rows with what the model tells of them. Raises: SpineMismatch where they have a column of its name."""
    signature = bundle.signature
    inputs = signature.input_arrays(bundle.inputs(values))
    parts = [
        signature.output_arrays(
            bundle.score(signature.from_arrays([array[start : start + _ROWS_AT_ONCE] for array in inputs]))
        )
        for start in range(0, max(len(rows), 1), _ROWS_AT_ONCE)
    ]
    told = [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]
    for group, column in zip(signature.outputs, to_columns(signature.outputs, told), strict=True):
        if group.column in rows.column_names:
            raise SpineMismatch(group.column, "has the name of what is written beside it; rename it")
        rows = rows.append_column(group.field, column)
    return rows


def _asked(
    bundle: Bundle, manifest_folder: Path, sources: Mapping[str, TableSource], spine: ScoringSpine
) -> ScoringInputs:
    return ScoringInputs(
        model=bundle.manifest.name,
        version=bundle.manifest.version,
        manifest=hashlib.sha256((manifest_folder / MANIFEST).read_bytes()).hexdigest(),
        spine=_digest(spine.path, spine.files()),
        start=spine.start.isoformat(),
        end=spine.end.isoformat(),
        tables={name: _digest(source.path, source.files()) for name, source in sources.items()},
    )


def _digest(root: Path, files: Iterable[Path]) -> str:
    """What tells whether files changed: their paths from `root`, sizes and times of change."""
    told = []
    for file in files:
        stat = file.stat()
        told.append(f"{os.path.relpath(file, root)} {stat.st_size} {stat.st_mtime_ns}")
    return hashlib.sha256("\n".join(told).encode()).hexdigest()


@contextmanager
def _alone(folder: Path) -> Iterator[Path]:
    """The folder beside `folder` in which its next content grows, for this run alone. Raises: ScoringUnderWay."""
    building = folder.with_name(f".{folder.name}-unfinished")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f".{folder.name}-lock").open("wb") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ScoringUnderWay(str(folder)) from error
        yield building


def _resumable(building: Path, asked: ScoringInputs, scored_at: datetime) -> str:
    """When the run that is gone on with was begun; what is left of another one is removed."""
    with suppress(OSError, msgspec.MsgspecError):
        begun, at = msgspec.json.decode((building / _ASKED).read_bytes(), type=tuple[ScoringInputs, str])
        if begun == asked:
            for cut_short in building.glob(".*"):
                cut_short.unlink()
            return at
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir()
    write_file(building / _ASKED, msgspec.json.encode((asked, scored_at.isoformat())))
    return scored_at.isoformat()


def _write(file: Path, tables: Iterator[pa.Table]) -> None:
    """A part is there whole, and on the disk, or not at all."""
    with replace_file(file) as unfinished:
        parquet_writer.write(unfinished, tables)


def _holds(folder: Path, building: Path, parts: Iterable[str]) -> bool:
    """Whether `folder` holds just these parts."""
    names = sorted(parts)
    if sorted(path.name for path in folder.glob("*.parquet")) != names:
        return False
    return same_files(folder, building, names)


def _replace(folder: Path, building: Path) -> None:
    """A kill on the way leaves all parts in `building`, where the next run finds them."""
    put_folder(building, folder)
    (folder / _ASKED).unlink()
