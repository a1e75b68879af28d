"""Scores written back as rows of a feature view, which materialization brings online like any other: the hybrid of
scores that are computed ahead and features that are read at the request.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines import parts
from pipelines.errors import SourceMismatch
from pipelines.history import TIMESTAMP
from pipelines.offline import Source
from pipelines.score import Scored
from serving.contract.form import SCORE
from serving.contract.plan import View

_US = pa.timestamp("us", tz="UTC")


@dataclass(frozen=True, slots=True)
class Written:
    """How many rows the view's table was given, in which files; rows that it had already count too."""

    rows: int
    files: tuple[Path, ...]


def run(scored: Scored, folder: Path, view: View, source: Source, *, created: datetime | None = None) -> Written:
    """Append the scores of a finished run in `folder` to a view's table.

    A row's `event_timestamp` is its spine row's; it is known since `created`, or since the run. A key or feature takes
    the column of its name, and the one feature that has none takes the score. The same run appends its rows once,
    however often it is written. Raises: SourceMismatch, RemoteReadOnly.
    """
    known = datetime.fromisoformat(scored.scored_at) if created is None else created
    files: list[Path] = []
    for name in scored.parts:
        rows = pq.read_table(folder / name)
        files += parts.append(source, _rows(rows, view, source, known), view)
    return Written(scored.rows, tuple(dict.fromkeys(files)))


def _rows(table: pa.Table, view: View, source: Source, known: datetime) -> pa.Table:
    """Raises: SourceMismatch."""
    columns = {source.timestamp_field: table.column(TIMESTAMP).cast(_US)}
    if source.created_timestamp_column is not None:
        columns[source.created_timestamp_column] = pa.chunked_array([pa.repeat(pa.scalar(known, _US), len(table))])
    for name, taken in _taken(table, view).items():
        columns[source.column(name)] = table.column(taken)
    if view.deleted_field is not None:
        columns[source.column(view.deleted_field)] = pa.chunked_array([pa.repeat(pa.scalar(False), len(table))])  # noqa: FBT003
    return pa.table(columns)


def _taken(table: pa.Table, view: View) -> dict[str, str]:
    """By key or feature the column that it takes. Raises: SourceMismatch."""
    wanted = [*(key.key for key in view.join_keys), *(field.name for field in view.fields)]
    lacking = [name for name in wanted if name not in table.column_names]
    features = {field.name for field in view.fields}
    if SCORE not in wanted and len(lacking) == 1 and lacking[0] in features:
        return {name: SCORE if name in lacking else name for name in wanted}
    if lacking or SCORE not in wanted:
        raise SourceMismatch(
            view.stored_as,
            ", ".join(lacking) or SCORE,
            f"is not among the scored rows' columns, which are {table.column_names}; one feature may take the score",
        )
    return {name: name for name in wanted}
