"""Scores written back as rows of a feature view, which materialization brings online like any other: the hybrid of
scores that are computed ahead and features that are read at the request.
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
from skewless.contract.timestamps import UTC_TIMESTAMP, to_micros
from skewless.model.scoring.batch_score import ScoringRun
from skewless.offline.join.point_in_time import TIMESTAMP
from skewless.offline.tables import append
from skewless.offline.tables.source import TableSource
from skewless.runtime.errors import SourceMismatch

_NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class ScoreWriteBack:
    """How many rows the view's table was given, in which files; rows that it had already count too."""

    rows: int
    files: tuple[Path, ...]


def run(
    scored: ScoringRun,
    folder: Path,
    view: PlanView,
    source: TableSource,
    *,
    created: datetime | None = None,
    take: Mapping[str, str] = _NOTHING,
) -> ScoreWriteBack:
    """Append the scores of a finished run in `folder` to a view's table.

    A row's `event_timestamp` is its spine row's; it is known since `created`, or since the run. A key or feature takes
    the column of its name, or what `take` says: an output (`score`, or its own name where there are several), or one of
    its values (`probabilities[1]`). The one feature that has neither takes the score. The same run appends its rows
    once, however often it is written. Raises: SourceMismatch, RemoteReadOnly.
    """
    known = datetime.fromisoformat(scored.scored_at) if created is None else created
    now = to_micros(datetime.fromisoformat(scored.scored_at))
    files: list[Path] = []
    for name in scored.parts:
        rows = pq.read_table(folder / name)
        files += append.append(source, _rows(rows, view, source, known, take), view, now=now)
    return ScoreWriteBack(scored.rows, tuple(dict.fromkeys(files)))


def _rows(table: pa.Table, view: PlanView, source: TableSource, known: datetime, take: Mapping[str, str]) -> pa.Table:
    """Raises: SourceMismatch."""
    columns = {source.timestamp_field: table.column(TIMESTAMP).cast(UTC_TIMESTAMP)}
    if source.created_timestamp_column is not None:
        columns[source.created_timestamp_column] = pa.chunked_array(
            [pa.repeat(pa.scalar(known, UTC_TIMESTAMP), len(table))]
        )
    told = {name: _told(table, view, output) for name, output in take.items()}
    for name, taken in _taken(table, view, told).items():
        columns[source.column(name)] = told[name] if taken is None else table.column(taken)
    if view.deleted_field is not None:
        columns[source.column(view.deleted_field)] = pa.chunked_array([pa.repeat(pa.scalar(False), len(table))])  # noqa: FBT003
    return pa.table(columns)


def _told(table: pa.Table, view: PlanView, text: str) -> pa.ChunkedArray:
    """An output of the model, or one of its values. Raises: SourceMismatch."""
    name, _, place = text.removesuffix("]").partition("[")
    column = SCORE if name == SCORE else f"{SCORE}:{name}"
    if column not in table.column_names:
        outputs = [one for one in table.column_names if one == SCORE or one.startswith(f"{SCORE}:")]
        raise SourceMismatch(view.stored_as, text, f"is no output of the model; those are {outputs}")
    told = table.column(column)
    if not place:
        return told
    width = told.type.list_size if pa.types.is_fixed_size_list(told.type) else 0
    if not (place.isdecimal() and int(place) < width):
        raise SourceMismatch(view.stored_as, text, f"is no value of output {name!r}, which has {width or 'one'} a row")
    return pc.list_element(told, int(place))


def _taken(table: pa.Table, view: PlanView, told: Mapping[str, pa.ChunkedArray]) -> dict[str, str | None]:
    """By key or feature the column that it takes, None where it is told. Raises: SourceMismatch."""
    features = {field.name for field in view.fields}
    if strange := sorted(told.keys() - features):
        raise SourceMismatch(view.stored_as, strange[0], f"is no feature of the view, which has {sorted(features)}")
    wanted = [*(key.key for key in view.join_keys), *(field.name for field in view.fields)]
    taken: dict[str, str | None] = {name: None if name in told else name for name in wanted}
    lacking = [name for name, column in taken.items() if column is not None and column not in table.column_names]
    scored = bool(told) or SCORE in wanted
    if not scored and SCORE in table.column_names and len(lacking) == 1 and lacking[0] in features:
        return taken | {lacking[0]: SCORE}
    if lacking or not scored:
        raise SourceMismatch(
            view.stored_as,
            ", ".join(lacking) or SCORE,
            f"is not among the scored rows' columns, which are {table.column_names}; one feature may take the score, "
            "and `--take FEATURE=OUTPUT` says which takes what else",
        )
    return taken
