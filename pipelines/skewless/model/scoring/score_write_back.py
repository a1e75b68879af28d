"""Writes scores back as rows of a feature view, which is materialized like any other. So precomputed scores can be combined
with features that are read at request time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import MappingProxyType

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from skewless.contract.model.signature import SCORE
from skewless.contract.plan import PlanView
from skewless.contract.timestamp_arrays import UTC_TIMESTAMP
from skewless.contract.timestamps import to_micros
from skewless.model.scoring.batch_score import ScoringRun
from skewless.offline.join.point_in_time import TIMESTAMP
from skewless.offline.tables import append
from skewless.offline.tables.source import TableSource
from skewless.runtime.errors import SourceMismatch

_NO_MAPPING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class ScoreWriteBack:
    """How many rows were written to the view's table, in which files; rows that it had already count too."""

    rows: int
    files: tuple[Path, ...]


def run(
    scored: ScoringRun,
    folder: Path,
    view: PlanView,
    source: TableSource,
    *,
    created: datetime | None = None,
    take: Mapping[str, str] = _NO_MAPPING,
) -> ScoreWriteBack:
    """Append the scores of a finished run in `folder` to a view's table.

    A row's event time is its spine row's `event_timestamp`; its created time is `created`, or the time of the run. A key or
    feature is filled from the column of its name, or from what `take` maps it to: an output (`score`, or its own name where
    the model has several), or one value of an output (`probabilities[1]`). A single feature with neither is filled with the
    score. The same run appends its rows once, however often it is written back. Raises: SourceMismatch, RemoteReadOnly.
    """
    scored_at = datetime.fromisoformat(scored.scored_at)
    files: list[Path] = []
    for name in scored.parts:
        rows = pq.read_table(folder / name)
        files += append.append(
            source, _rows(rows, view, source, created or scored_at, take), view, now=to_micros(scored_at)
        )
    return ScoreWriteBack(scored.rows, tuple(dict.fromkeys(files)))


def _rows(table: pa.Table, view: PlanView, source: TableSource, created: datetime, take: Mapping[str, str]) -> pa.Table:
    """Scored rows as rows of the view's table. Raises: SourceMismatch."""
    columns = {source.timestamp_field: table.column(TIMESTAMP).cast(UTC_TIMESTAMP)}
    if source.created_timestamp_column is not None:
        columns[source.created_timestamp_column] = pa.chunked_array(
            [pa.repeat(pa.scalar(created, UTC_TIMESTAMP), len(table))]
        )
    outputs = {name: _output(table, view, output) for name, output in take.items()}
    for name, column in _columns(table, view, outputs).items():
        columns[source.column(name)] = outputs[name] if column is None else table.column(column)
    if view.deleted_field is not None:
        columns[source.column(view.deleted_field)] = pa.chunked_array([pa.repeat(pa.scalar(False), len(table))])  # noqa: FBT003
    return pa.table(columns)


def _output(table: pa.Table, view: PlanView, text: str) -> pa.ChunkedArray:
    """The column of a model output, or of one of its values (`probabilities[1]`). Raises: SourceMismatch."""
    name, _, index = text.removesuffix("]").partition("[")
    column = SCORE if name == SCORE else f"{SCORE}:{name}"
    if column not in table.column_names:
        outputs = [other for other in table.column_names if other == SCORE or other.startswith(f"{SCORE}:")]
        raise SourceMismatch(view.stored_as, text, f"is no output of the model; those are {outputs}")
    output = table.column(column)
    if not index:
        return output
    width = output.type.list_size if pa.types.is_fixed_size_list(output.type) else 0
    if not (index.isdecimal() and int(index) < width):
        raise SourceMismatch(view.stored_as, text, f"is no value of output {name!r}, which has {width or 'one'} a row")
    return pc.list_element(output, int(index))


def _columns(table: pa.Table, view: PlanView, outputs: Mapping[str, pa.ChunkedArray]) -> dict[str, str | None]:
    """By key or feature, the column of the scored rows that fills it; None for those in `outputs`. Raises: SourceMismatch."""
    features = {field.name for field in view.fields}
    if unknown := sorted(outputs.keys() - features):
        raise SourceMismatch(view.stored_as, unknown[0], f"is no feature of the view, which has {sorted(features)}")
    names = [*(key.key for key in view.join_keys), *(field.name for field in view.fields)]
    columns: dict[str, str | None] = {name: None if name in outputs else name for name in names}
    missing = [name for name, column in columns.items() if column is not None and column not in table.column_names]
    scored = bool(outputs) or SCORE in names
    if not scored and SCORE in table.column_names and len(missing) == 1 and missing[0] in features:
        return columns | {missing[0]: SCORE}
    if missing or not scored:
        raise SourceMismatch(
            view.stored_as,
            ", ".join(missing) or SCORE,
            f"is not among the scored rows' columns, which are {table.column_names}; one feature may take the score, "
            "and `take` names the outputs of others by feature",
        )
    return columns
