"""Batch scoring: scores a spine with the join, the transforms and the model that answer requests, to a folder of Parquet.

    <folder>/scores-00000.parquet   the spine's columns, then the score; at most 262,144 rows, in order of time
    <folder>/_scored.json           the inputs that determine the scores, and the time of the run

Parts that were scored before a kill stay beside the folder and are not scored again, as long as bundle, spine and tables
are the same. The folder is replaced atomically, and stays as it is where it has the same scores already.
"""

from __future__ import annotations

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
from skewless.contract.plan import Plan
from skewless.files.durable import put_folder, replace_file, same_files, write_file
from skewless.files.file_locks import try_lock
from skewless.model.scoring.unfinished_scores import lock_file, unfinished_folder
from skewless.offline.files import parquet_writer
from skewless.offline.join.point_in_time import PointInTimeJoin, request_values
from skewless.offline.join.spine import SpineFiles, declared_types
from skewless.offline.tables.source import TableSource, parquet_files
from skewless.runtime.errors import SpineMismatch
from skewless.runtime.progress import Report, quiet
from skewless.runtime.settings import DEFAULT_JOIN_MEMORY

RESULT = "_scored.json"
_INPUTS = "_asked.json"
_ROWS_PER_PART = 1 << 18
_ROWS_PER_CALL = 1 << 14
"""Rows that the model scores in one call: it bounds memory, and does not change a score."""


@dataclass(eq=False)
class ScoringUnderWay(SkewlessError):
    """Two runs would write one folder."""

    folder: str

    def __str__(self) -> str:
        return f"another run writes the scores in {self.folder}; wait for it, or name another folder as `out`"


class ScoringInputs(msgspec.Struct, frozen=True):
    """Everything that determines the scores: a model version, the SHA-256 of its manifest, and of the names, sizes and
    modification times of the spine's and the tables' files.
    """

    model: str
    version: str
    manifest: str
    spine: str
    start: str
    end: str
    tables: dict[str, str]


class ScoringRun(msgspec.Struct, frozen=True):
    """A finished run. `scored_at` (ISO 8601) is when it started, and the created time of its scores; `written` says whether
    this call wrote the folder, `resumed` how many parts were finished by an earlier run.
    """

    inputs: ScoringInputs = msgspec.field(name="asked")
    scored_at: str
    rows: int
    parts: tuple[str, ...]
    written: bool = msgspec.field(default=True, name="made")
    resumed: int = 0


@dataclass(frozen=True, slots=True)
class ScoringSpine:
    """The rows of a Parquet file or folder, or of a CSV file, with start <= event_timestamp < end."""

    path: Path
    start: datetime
    end: datetime

    def files(self) -> list[Path]:
        return [self.path] if self.path.is_file() else parquet_files(self.path)

    def rows(self, plan: Plan) -> SpineFiles:
        """The rows for a model of this plan. Raises: as `SpineFiles`."""
        return SpineFiles(self.path, self.start, self.end, declared_types(plan))


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

    `memory` bounds the join, in bytes (see `skewless.offline.join.memory_budget`); a part of the spine and its scores come
    on top. Raises: SpineMissing, SpineMismatch, SourceMissing, SourceMismatch, ScoringUnderWay; then the folder is unchanged.
    """
    spine_rows = spine.rows(bundle.plan)
    inputs = _inputs(bundle, manifest_folder, sources, spine)
    with _exclusive(folder) as building:
        started_at = _resume_or_reset(building, inputs, scored_at)
        rows, names, resumed = 0, [], 0
        for number, part in enumerate(spine_rows.non_empty_parts(_ROWS_PER_PART)):
            file = building / f"scores-{number:05d}.parquet"
            if file.exists():
                resumed += 1
            else:
                _write(file, _frames(bundle, sources, part, report, memory))
            names.append(file.name)
            rows += len(part)
        finished = ScoringRun(inputs, started_at, rows, tuple(names), resumed=resumed)
        previous = read(folder)
        if previous is not None and _same_parts(folder, building, finished.parts):
            shutil.rmtree(building)
            return msgspec.structs.replace(previous, written=False, resumed=resumed)
        write_file(building / RESULT, msgspec.json.format(msgspec.json.encode(finished)))
        _replace(folder, building)
    return finished


def read(folder: Path) -> ScoringRun | None:
    """The finished run in a folder; None where there is none."""
    try:
        return msgspec.json.decode((folder / RESULT).read_bytes(), type=ScoringRun)
    except (OSError, msgspec.MsgspecError):
        return None


def _frames(
    bundle: Bundle, sources: Mapping[str, TableSource], part: pa.Table, report: Report, memory: int
) -> Iterator[pa.Table]:
    """The part's rows with their scores, block by block of the join."""
    plan = bundle.plan
    for block in PointInTimeJoin(plan, sources, part, statuses=False, memory=memory).blocks(report):
        rows = part.slice(block.start, block.rows)
        views = {name: joined.admitted() for name, joined in block.views.items()}
        yield with_scores(rows, bundle, bundle.assembler.values(views, request_values(plan, rows)))


def with_scores(rows: pa.Table, bundle: Bundle, values: Mapping[PlanSource, ColumnValues]) -> pa.Table:
    """The rows with the model's outputs as columns. Raises: SpineMismatch where they have a column of such a name."""
    signature = bundle.signature
    inputs = signature.input_arrays(bundle.inputs(values))
    parts = [
        signature.output_arrays(
            bundle.score(signature.from_arrays([array[start : start + _ROWS_PER_CALL] for array in inputs]))
        )
        for start in range(0, max(len(rows), 1), _ROWS_PER_CALL)
    ]
    outputs = [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]
    for group, column in zip(signature.outputs, to_columns(signature.outputs, outputs), strict=True):
        if group.column in rows.column_names:
            raise SpineMismatch(group.column, "has the name of a model output that is written beside it; rename it")
        rows = rows.append_column(group.field, column)
    return rows


def _inputs(
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
    """SHA-256 of the files' paths relative to `root`, sizes and modification times: it changes where a file does."""
    lines = []
    for file in files:
        stat = file.stat()
        lines.append(f"{os.path.relpath(file, root)} {stat.st_size} {stat.st_mtime_ns}")
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


@contextmanager
def _exclusive(folder: Path) -> Iterator[Path]:
    """Lock `folder` for this run; gives the folder beside it in which its next content is built. Raises: ScoringUnderWay."""
    building = unfinished_folder(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with lock_file(folder).open("wb") as handle:
        if not try_lock(handle.fileno()):
            raise ScoringUnderWay(str(folder))
        yield building


def _resume_or_reset(building: Path, inputs: ScoringInputs, scored_at: datetime) -> str:
    """Keep the parts of an unfinished run with the same inputs, else start afresh; returns when the run started."""
    with suppress(OSError, msgspec.MsgspecError):
        unfinished, started_at = msgspec.json.decode((building / _INPUTS).read_bytes(), type=tuple[ScoringInputs, str])
        if unfinished == inputs:
            for partial in building.glob(".*"):
                partial.unlink()
            return started_at
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir()
    write_file(building / _INPUTS, msgspec.json.encode((inputs, scored_at.isoformat())))
    return scored_at.isoformat()


def _write(file: Path, tables: Iterator[pa.Table]) -> None:
    """Write a part atomically and durably."""
    with replace_file(file) as unfinished:
        parquet_writer.write(unfinished, tables)


def _same_parts(folder: Path, building: Path, parts: Iterable[str]) -> bool:
    """Whether `folder` has exactly these parts, with the content that they have in `building`."""
    names = sorted(parts)
    if sorted(path.name for path in folder.glob("*.parquet")) != names:
        return False
    return same_files(folder, building, names)


def _replace(folder: Path, building: Path) -> None:
    """Put `building` in the place of `folder`. A kill leaves all parts in one of them, where the next run finds them."""
    put_folder(building, folder)
    (folder / _INPUTS).unlink()
