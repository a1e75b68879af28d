"""What happened and who asks, on disk: the oracles' histories as Parquet tables, their spines as Arrow tables."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from skewless.contract.admission import MISSING, FeatureStatus
from skewless.contract.columns import ColumnValues, column_values
from skewless.contract.model.assembler import AdmittedRows
from skewless.contract.plan import Field, JoinKey, Plan, PlanView
from skewless.contract.timestamps import from_micros
from skewless.contract.value_types import value_type
from skewless.files.table_parts import write_part
from skewless.offline.join.point_in_time import TIMESTAMP
from skewless.offline.tables.source import TableSource
from skewless.offline.values.arrow_answers import answer
from tests.oracles import Joined, Row, Spine, Value, bits
from tests.strategies import arrow_column
from tests.tables.arrays import values_bits

US = pa.timestamp("us", tz="UTC")
_part = itertools.count()
Told = tuple[str, tuple[int, int] | None, tuple[bytes | None, ...]]


def source(data: Path, view: PlanView) -> TableSource:
    return TableSource(view.stored_as, data / view.stored_as, "event_timestamp", "created_timestamp")


def sources(data: Path, plan: Plan) -> dict[str, TableSource]:
    return {view.name: source(data, view) for view in plan.views}


def table(view: PlanView, rows: Sequence[Row]) -> pa.Table:
    """Rows of a view as its source holds them."""
    columns = {
        key.key: arrow_column(key.dtype, [row.key[place] for row in rows]) for place, key in enumerate(view.join_keys)
    }
    for place, field in enumerate(view.fields):
        columns[field.name] = _column(field.dtype, [row.values[place] for row in rows])
    if view.deleted_field:
        columns[view.deleted_field] = pa.array([row.deleted or None for row in rows], pa.bool_())
    columns["event_timestamp"] = instants([row.event for row in rows])
    columns["created_timestamp"] = instants([row.created for row in rows])
    return pa.table(columns)


def _column(dtype: str, column: Sequence[Value]) -> pa.Array:
    """A feature as a table has it: lists, maps and structs as Arrow's own, where the oracle has their messages."""
    return answer(value_type(dtype), column_values(value_type(dtype), arrow_column(dtype, column)))


def instants(micros: Sequence[int]) -> pa.Array:
    return pa.array(np.array(micros, np.int64)).cast(US)


def write(
    data: Path,
    view: PlanView,
    rows: Sequence[Row],
    *,
    by_day: bool = True,
    files: int = 1,
    row_group: int | None = None,
    empty: bool = False,
) -> None:
    """Add rows to a view's table, dealt out to some files a day and there to row groups of `row_group` rows; where
    there are none, a file without rows if it is the first one, or with `empty`.
    """
    folder = data / view.stored_as
    dealt: dict[Path, list[Row]] = defaultdict(list)
    for number, row in enumerate(rows):
        day = from_micros(row.event).date().isoformat()
        dealt[folder / (f"day={day}" if by_day else ".") / f"{number % files}"].append(row)
    if not dealt and (empty or not folder.exists()):
        dealt[folder / "none"] = []
    for place, some in dealt.items():
        place.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table(view, some), place.with_name(f"part-{next(_part):06}.parquet"), row_group_size=row_group)


def push(data: Path, view: PlanView, rows: Sequence[Row], now: int) -> None:
    """Add rows to a view's table as a push at `now` does."""
    folder = data / view.stored_as
    folder.mkdir(parents=True, exist_ok=True)
    write_part(folder, table(view, rows), now)


def forget_empty_columns(data: Path, view: PlanView) -> None:
    """Make all files but the newest those of an older definition: features of which they hold nothing are not there."""
    for file in source(data, view).files()[:-1]:
        held = pq.read_table(file)
        empty = [f.name for f in view.fields if held.column(f.name).null_count == len(held)]
        pq.write_table(held.drop_columns(empty), file)


def spine_table(plan: Plan, spine: Sequence[Spine]) -> pa.Table:
    columns = {TIMESTAMP: instants([row.at for row in spine])}
    columns |= {k.name: arrow_column(k.dtype, [row.keys[k.name] for row in spine]) for k in plan.join_keys}
    return pa.table(columns)


def stored(plan: Plan) -> list[PlanView]:
    """The views as materialization knows them: each once, under its own name and keys."""
    found = {}
    for view in plan.views:
        keys = tuple(JoinKey(key.key, key.key, key.dtype) for key in view.join_keys)
        found[view.stored_as] = msgspec.structs.replace(view, name=view.stored_as, join_keys=keys)
    return list(found.values())


def told(admitted: AdmittedRows, fields: Sequence[Field]) -> list[Told]:
    """For each row: the status, the times of the row that was used, the bits of the values that may be seen."""
    assert len(fields) == len(admitted.rows.columns)
    columns = [_bits(field.dtype, admitted.values(place)) for place, field in enumerate(fields)]
    times = zip(admitted.rows.event.tolist(), admitted.rows.created.tolist(), strict=True)
    return [
        (FeatureStatus(status).name, None if time[0] == MISSING else time, tuple(column[row] for column in columns))
        for row, (status, time) in enumerate(zip(admitted.status.tolist(), times, strict=True))
    ]


def expected(joined: Sequence[Mapping[str, Joined]], view: PlanView, fields: Sequence[Field]) -> list[Told]:
    """The same of the oracle."""
    places = [view.fields.index(field) for field in fields]
    return [
        (
            one.status,
            None if one.row is None else (one.row.event, one.row.created),
            tuple(bits(view.fields[place].dtype, one.values[place]) for place in places),
        )
        for one in (row[view.name] for row in joined)
    ]


def _bits(dtype: str, values: ColumnValues) -> list[bytes | None]:
    if values.data.dtype == object:
        return [bits(dtype, v) if valid else None for v, valid in zip(values.data, values.valid, strict=True)]
    raw = values_bits(dtype, ColumnValues(values.data, np.ones(len(values.valid), bool)))
    return [one if valid else None for one, valid in zip(raw, values.valid, strict=True)]
