"""A training set: a spine joined to a feature service as of each row's time, as a folder.

    data.parquet       the spine's columns, then the plan's given values and transform outputs under Feast's full
                       feature names (`view__feature`), typed, null where not PRESENT
    statuses.parquet   each row's time and, by view, what the admission rule said of it
    plan.json          the contract that the values were made by
    transforms.onnx    the traced transforms, where the plan has any

A training set is replaced whole or not at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipelines.definitions import Definitions
from pipelines.errors import NotTrained, SourceMissing, SpineMismatch
from pipelines.folder import replace_folder
from pipelines.history import TIMESTAMP, join, request_values
from pipelines.offline import parquet_files
from pipelines.progress import Report, quiet
from serving.contract.assembler import Assembler, Matrix, column_types
from serving.contract.bundle import given_values
from serving.contract.freshness import Micros
from serving.contract.instants import to_micros
from serving.contract.plan import Plan, Request, Source, plan_from_json
from serving.contract.record import to_arrow
from serving.contract.row import Values, column_values
from serving.contract.transforms import reference
from serving.contract.types import value_type

Labels = NDArray[np.float64]
DATA, STATUSES, PLAN, TRANSFORMS = "data.parquet", "statuses.parquet", "plan.json", "transforms.onnx"
BUILD = "skewless training-set"


def read_spine(path: Path, start: datetime, end: datetime) -> pa.Table:
    """The spine's rows with start <= event_timestamp < end, ordered by time. Raises: SourceMissing, SpineMismatch."""
    files = [path] if path.is_file() else parquet_files(path)
    if not files:
        raise SourceMissing("spine", str(path))
    dataset = ds.dataset([str(file) for file in files], format="parquet")
    return dataset.to_table(filter=_within(dataset.schema, start, end)).sort_by(TIMESTAMP)


def _within(schema: pa.Schema, start: datetime, end: datetime) -> pc.Expression:
    """Whether start <= event_timestamp < end, for times of any precision; naive ones are UTC. Raises: SpineMismatch."""
    if TIMESTAMP not in schema.names:
        raise SpineMismatch(TIMESTAMP, f"is absent; the spine has {schema.names}")
    kind = schema.field(TIMESTAMP).type
    if not pa.types.is_timestamp(kind):
        raise SpineMismatch(TIMESTAMP, f"is {kind}; it must be a timestamp")
    first, after = (pa.scalar(to_micros(instant)).cast(pa.timestamp("us", tz=kind.tz)) for instant in (start, end))
    return (pc.field(TIMESTAMP) >= first) & (pc.field(TIMESTAMP) < after)


def values_for(
    definitions: Definitions, spine: pa.Table, *, read_at: Micros | None = None, report: Report = quiet
) -> dict[Source, Values]:
    """Every value that the plan names for each spine row; see `history.join` for `read_at` and errors."""
    assembler = Assembler(definitions.plan, definitions.transforms)
    views = join(definitions.plan, definitions.sources, spine, read_at=read_at, report=report)
    return assembler.values(views, request_values(definitions.plan, spine))


def matrix_for(
    definitions: Definitions, spine: pa.Table, *, read_at: Micros | None = None, report: Report = quiet
) -> Matrix:
    """The model input for each spine row."""
    assembler = Assembler(definitions.plan, definitions.transforms)
    return assembler.matrix(values_for(definitions, spine, read_at=read_at, report=report))


def run(definitions: Definitions, spine: pa.Table, folder: Path, *, report: Report = quiet) -> pa.Table:
    """Join the spine and write the training set to `folder`, replacing it whole; the table that was written.
    A folder that holds the same training set stays as it is, with the model that was trained on it.

    Rows out are rows in, in the spine's order. Raises: SpineMismatch, SourceMissing, SourceMismatch.
    """
    plan = definitions.plan
    views = join(plan, definitions.sources, spine, report=report)
    table = frame(plan, spine, Assembler(plan, definitions.transforms).values(views, request_values(plan, spine)))
    statuses = {name: pa.array(admitted.status) for name, admitted in views.items()}
    with replace_folder(folder) as building:
        pq.write_table(table, building / DATA, compression="zstd")
        pq.write_table(pa.table({TIMESTAMP: spine.column(TIMESTAMP), **statuses}), building / STATUSES)
        (building / PLAN).write_bytes(plan.to_json())
        if definitions.transforms:
            (building / TRANSFORMS).write_bytes(definitions.transforms)
    return table


def frame(plan: Plan, spine: pa.Table, values: Mapping[Source, Values]) -> pa.Table:
    """The spine's columns, then each value as a column named by `reference`; request inputs are the spine's own.

    Raises: SpineMismatch where the spine has a column of a feature's name, which would be taken for the feature.
    """
    types = column_types(plan)
    table = spine
    for source, column in values.items():
        if isinstance(source, Request):
            continue
        if reference(source) in spine.column_names:
            raise SpineMismatch(reference(source), "has the name of a feature that is joined to it; rename it")
        table = table.append_column(reference(source), to_arrow(value_type(types[source]), column))
    return table


class TrainingSet:
    """A training set on disk, opened. Raises: NotTrained where the folder does not hold one."""

    def __init__(self, folder: Path) -> None:
        if not (folder / DATA).exists():
            raise NotTrained(f"training set {folder}", BUILD)
        self.folder = folder
        self.plan = plan_from_json((folder / PLAN).read_bytes(), name=folder.name)
        traced = folder / TRANSFORMS
        self.transforms = traced.read_bytes() if traced.exists() else None
        self.assembler = Assembler(self.plan, self.transforms)

    def between(self, start: datetime, end: datetime) -> pa.Table:
        """The rows with start <= event_timestamp < end."""
        data = self.folder / DATA
        return pq.read_table(data, filters=_within(pq.read_schema(data), start, end))

    def statuses(self, start: datetime, end: datetime) -> pa.Table | None:
        """By view the `Status` of the rows with start <= event_timestamp < end; None where an older version, which kept
        none, made this training set.
        """
        data = self.folder / STATUSES
        return pq.read_table(data, filters=_within(pq.read_schema(data), start, end)) if data.exists() else None

    def matrix(self, table: pa.Table) -> Matrix:
        """The model input of rows of this training set: by the same function as online."""
        types = column_types(self.plan)
        values = {
            column.source: column_values(
                value_type(types[column.source]), table.column(reference(column.source)).combine_chunks()
            )
            for column in self.plan.columns
        }
        return self.assembler.matrix(values)

    def given(self, table: pa.Table) -> pa.Table:
        """The given values of rows of this training set, as golden rows keep them."""
        return table.select([reference(source) for source in self.assembler.given])

    def given_values(self, table: pa.Table) -> dict[Source, Values]:
        """The given values of rows of this training set."""
        return given_values(self.plan, self.assembler.given, table)


def labelled(table: pa.Table, label: str) -> tuple[pa.Table, Labels]:
    """The rows whose label is known, and their labels as numbers. Raises: SpineMismatch."""
    if label not in table.column_names:
        raise SpineMismatch(label, f"is absent; the spine has {table.column_names}")
    known = table.filter(pc.is_valid(table.column(label)))
    labels: Labels = known.column(label).combine_chunks().cast(pa.float64()).to_numpy(zero_copy_only=False)
    return known, labels
