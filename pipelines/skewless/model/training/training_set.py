"""A training set: a spine joined to a feature service as of each row's time, in a folder.

    data.parquet       the spine's columns, then the plan's features and transform outputs under Feast's full feature
                       names (`view__feature`), typed, null where not PRESENT
    _absences.json     by day and view, for how many rows the view was absent or stale
    _plan.json         the plan by which the values were computed
    _transforms.onnx   the traced transforms, where the plan has any
    _as-served         the refresh schedule of the simulated online store, where the join used one

The folder itself is a Parquet dataset: readers skip names that begin with `_`. A training set is replaced atomically.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import MappingProxyType

import pyarrow as pa
import pyarrow.parquet as pq

from skewless.contract.columns import ColumnValues, column_values
from skewless.contract.model.assembler import Assembler, Matrix, column_types, wanted_features
from skewless.contract.model.signature import MatrixSignature
from skewless.contract.model.transforms import reference
from skewless.contract.plan import ColumnSource, Plan, RequestInput
from skewless.contract.plan_validation import plan_from_json
from skewless.contract.storage.served_row import to_arrow
from skewless.contract.timestamp_arrays import UTC_TIMESTAMP as SERVED_TIME
from skewless.contract.timestamp_arrays import UtcMicrosArray
from skewless.contract.timestamps import to_micros
from skewless.contract.value_types import value_type
from skewless.definitions.compiler import CompiledService
from skewless.files.durable import replace_folder
from skewless.model.distributions import coverage
from skewless.model.distributions.coverage import AbsentRows, CoverageCounts, metadata_file
from skewless.offline.files import parquet_writer
from skewless.offline.join import explain as join_plan
from skewless.offline.join.explain import JoinPlan, waiting_warning
from skewless.offline.join.memory_budget import bounds
from skewless.offline.join.point_in_time import TIMESTAMP, PointInTimeJoin, join, request_values, spine_times
from skewless.offline.join.refresh_schedule import RefreshSchedule
from skewless.offline.join.spine import SpineFiles, within
from skewless.offline.join.threads import worker_count
from skewless.offline.tables.absent_columns import AbsentColumn
from skewless.runtime.errors import SpineMismatch, StepInputMissing
from skewless.runtime.progress import Report, quiet
from skewless.runtime.settings import DEFAULT_JOIN_MEMORY

DATA, PLAN, TRANSFORMS = "data.parquet", "_plan.json", "_transforms.onnx"
AS_SERVED = "_as-served"
BUILD = "skewless training-set"
_NO_TYPES: Mapping[str, pa.DataType] = MappingProxyType({})


def read_spine(path: Path, start: datetime, end: datetime, types: Mapping[str, pa.DataType] = _NO_TYPES) -> pa.Table:
    """The spine's rows with start <= event_timestamp < end, ordered by time. Raises: as `SpineFiles`."""
    return SpineFiles(path, start, end, types).table()


def values_for(
    definitions: CompiledService, spine: pa.Table, *, read_at: UtcMicrosArray | None = None, report: Report = quiet
) -> dict[ColumnSource, ColumnValues]:
    """Every value that the plan names for each spine row; see `point_in_time.join` for `read_at` and errors."""
    assembler = Assembler(definitions.plan, definitions.transforms)
    views = join(definitions.plan, definitions.sources, spine, read_at=read_at, report=report)
    return assembler.values(views, request_values(definitions.plan, spine))


def matrix_for(
    definitions: CompiledService, spine: pa.Table, *, read_at: UtcMicrosArray | None = None, report: Report = quiet
) -> Matrix:
    """The model input for each spine row."""
    assembler = Assembler(definitions.plan, definitions.transforms)
    return assembler.matrix(values_for(definitions, spine, read_at=read_at, report=report))


@dataclass(frozen=True, slots=True)
class WrittenTrainingSet:
    """The rows and columns of a training set that was written. `waiting` counts by view the rows without a value only because
    the value had happened but was not known yet (`created_timestamp` after the row's time). `absent` are the columns without
    a value in some files, since these are older.
    """

    rows: int
    columns: int
    waiting: dict[str, int]
    absent: tuple[AbsentColumn, ...] = ()

    def warnings(self) -> list[str]:
        """A line for each view whose values came too late for some rows, with what to do about it, and for each column that
        some files lack.
        """
        late = [waiting_warning(view, count, self.rows) for view, count in self.waiting.items() if count]
        return late + [str(column) for column in self.absent]


def run(
    definitions: CompiledService,
    spine: pa.Table | SpineFiles,
    folder: Path,
    *,
    as_served: RefreshSchedule | None = None,
    report: Report = quiet,
    memory: int = DEFAULT_JOIN_MEMORY,
) -> WrittenTrainingSet:
    """Join the spine and write the training set to `folder`, which is replaced atomically. A folder that has the same
    training set already stays as it is, with the model that was trained on it.

    With `as_served` each row is joined as an online store on that schedule would have answered at its time.

    The training set has the spine's rows, in the spine's order. They are written as they are joined, so that neither the
    result nor a spine on disk need fit into memory: see `skewless.offline.join.memory_budget`.
    Raises: EmptyWindow, SpineMismatch, SourceMissing, SourceMismatch.
    """
    if isinstance(spine, SpineFiles):
        spine.require_rows()
    counts = _JoinCounts({view.name: 0 for view in definitions.plan.views})
    with replace_folder(folder) as building:
        frames = _frames(definitions, spine, counts, as_served, report, memory)
        written = parquet_writer.write(building / DATA, frames)
        (building / coverage.FILE).write_bytes(counts.coverage.to_json())
        (building / PLAN).write_bytes(definitions.plan.to_json())
        if definitions.transforms:
            (building / TRANSFORMS).write_bytes(definitions.transforms)
        if as_served:
            (building / AS_SERVED).write_text(str(as_served))
    return WrittenTrainingSet(*written, counts.waiting, tuple(counts.absent.values()))


@dataclass(frozen=True, slots=True)
class _JoinCounts:
    """What is counted while the rows are joined: see `WrittenTrainingSet`, and the coverage by day and view."""

    waiting: dict[str, int]
    coverage: CoverageCounts = field(default_factory=CoverageCounts)
    absent: dict[tuple[str, str], AbsentColumn] = field(default_factory=dict)

    def note(self, join: PointInTimeJoin) -> None:
        """Note the columns that files of the joined tables lack; of several joins the one that read the most files counts."""
        for column in (column for view in join.views for column in view.table.absent):
            name = (column.view, column.column)
            if name not in self.absent or column.of > self.absent[name].of:
                self.absent[name] = column


def explain(
    definitions: CompiledService, spine: pa.Table | SpineFiles, *, memory: int = DEFAULT_JOIN_MEMORY
) -> JoinPlan:
    """What `run` would read and hold in memory. Raises: SpineMismatch, SourceMissing, SourceMismatch."""
    parts = spine_parts(definitions.plan, spine, memory)
    return join_plan.explain(_join(definitions, part, None, memory) for part in parts)


def _join(
    definitions: CompiledService, part: pa.Table, as_served: RefreshSchedule | None, memory: int
) -> PointInTimeJoin:
    read_at = None if as_served is None else as_served.filled(spine_times(part))
    return PointInTimeJoin(definitions.plan, definitions.sources, part, read_at=read_at, statuses=False, memory=memory)


def _frames(
    definitions: CompiledService,
    spine: pa.Table | SpineFiles,
    counts: _JoinCounts,
    as_served: RefreshSchedule | None,
    report: Report,
    memory: int,
) -> Iterator[pa.Table]:
    """The joined rows block by block, at least one block; adds to the counts."""
    plan, assembler = definitions.plan, Assembler(definitions.plan, definitions.transforms)
    for part in spine_parts(plan, spine, memory):
        joined_part = _join(definitions, part, as_served, memory)
        counts.note(joined_part)
        for block in joined_part.blocks(report):
            rows = part.slice(block.start, block.rows)
            admitted = {name: joined.admitted() for name, joined in block.views.items()}
            for name, joined in block.views.items():
                counts.waiting[name] += joined.waiting
            counts.coverage.add(spine_times(rows), admitted)
            yield frame(plan, rows, assembler.values(admitted, request_values(plan, rows)))


def spine_parts(plan: Plan, spine: pa.Table | SpineFiles, memory: int = DEFAULT_JOIN_MEMORY) -> Iterator[pa.Table]:
    """The spine in parts that are joined one after the other: a table is a single part, a spine on disk gives as many as
    the memory bound requires; at least one, so that an empty spine keeps its columns.
    """
    if isinstance(spine, pa.Table):
        yield spine
        return
    rows = bounds(memory, list(wanted_features(plan).values()), worker_count()).rows_a_block
    yield from spine.non_empty_parts(rows)


def frame(plan: Plan, spine: pa.Table, values: Mapping[ColumnSource, ColumnValues]) -> pa.Table:
    """The spine's columns, then each value as a column named by `reference`; request inputs are columns of the spine already.

    Raises: SpineMismatch where the spine has a column with the name of a feature, which would be mistaken for the feature.
    """
    types = column_types(plan)
    table = spine
    for source, column in values.items():
        if isinstance(source, RequestInput):
            continue
        if reference(source) in spine.column_names:
            raise SpineMismatch(reference(source), "has the name of a feature that is joined to it; rename it")
        table = table.append_column(reference(source), to_arrow(value_type(types[source]), column))
    return table


class TrainingSet:
    """A training set on disk. Raises: StepInputMissing where the folder has none."""

    def __init__(self, folder: Path) -> None:
        if not (folder / DATA).exists():
            raise StepInputMissing(f"training set {folder}", BUILD)
        self.folder = folder
        self.plan = plan_from_json(metadata_file(folder, PLAN).read_bytes(), name=folder.name)
        traced = metadata_file(folder, TRANSFORMS)
        self.transforms = traced.read_bytes() if traced.exists() else None
        self.assembler = Assembler(self.plan, self.transforms)

    def between(self, start: datetime, end: datetime) -> pa.Table:
        """The rows with start <= event_timestamp < end."""
        data = self.folder / DATA
        return pq.read_table(data, filters=within(pq.read_schema(data), to_micros(start), to_micros(end)))

    def absent_rows(self, start: datetime, end: datetime) -> dict[str, AbsentRows]:
        """By view, how many rows of the days that begin in [start, end) it was absent or stale for."""
        return coverage.read(self.folder, start, end)

    def times(self) -> pa.ChunkedArray:
        """The event_timestamp of all rows, as UTC."""
        return pq.read_table(self.folder / DATA, columns=[TIMESTAMP]).column(TIMESTAMP).cast(SERVED_TIME)

    def matrix(self, table: pa.Table) -> Matrix:
        """The model input of rows of this training set, computed by the same function as online.

        Raises: InvalidPlan where a column is text.
        """
        return MatrixSignature(self.plan).assemble(self.assembler, self.values(table))

    def values(self, table: pa.Table) -> dict[ColumnSource, ColumnValues]:
        """The values of the plan's columns for rows of this training set."""
        types = column_types(self.plan)
        return {
            column.source: column_values(
                value_type(types[column.source]), table.column(reference(column.source)).combine_chunks()
            )
            for column in self.plan.columns
        }
