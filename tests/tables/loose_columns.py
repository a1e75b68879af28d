"""Tables as people have them: the same values in other types, which hold them exactly; nulls where known since the event."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from random import Random

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

WHOLE = 2**53 - 1


def loosen(folder: Path, random: Random, done: set[Path]) -> None:
    """Rewrite each column of each file of a table that is not `done` in a type of the random choice."""
    for file in sorted(set(folder.rglob("*.parquet")) - done):
        table = pq.ParquetFile(file).read()
        columns = {name: _loosened(table[name].combine_chunks(), random) for name in table.column_names}
        columns |= {name: table[name] for name in ("event_timestamp", "created_timestamp")}
        if random.random() < 0.5:
            known_then = pc.equal(table["created_timestamp"], table["event_timestamp"])
            columns["created_timestamp"] = pc.if_else(known_then, None, table["created_timestamp"])
        pq.write_table(pa.table(columns), file)
        done.add(file)


def _loosened(column: pa.Array, random: Random) -> pa.Array:
    column = column.chunk(0) if isinstance(column, pa.ChunkedArray) else column
    values = [value for value in column.to_pylist() if value is not None]
    kinds = [kind for kind, holds in _OTHERS.get(str(column.type), []) if all(map(holds, values))]
    if not kinds:
        return column
    kind = random.choice(kinds)
    if pa.types.is_decimal(kind):
        return pa.array(column.to_pylist(), pa.int64()).cast(kind)
    return column.cast(kind)


def _small(value: int) -> bool:
    return abs(value) <= WHOLE


def _integral(limit: int) -> Callable[[float], bool]:
    """Whether a float is a whole number below the limit, and not -0.0: the integer 0 has no sign."""

    def holds(value: float) -> bool:
        whole = math.isfinite(value) and value == int(value) and abs(value) < limit
        return whole and (value != 0 or math.copysign(1, value) > 0)

    return holds


def _always(_value: object) -> bool:
    return True


_DOUBLE, _DECIMAL = (pa.float64(), _small), (pa.decimal128(20, 0), _always)
_TEXTS = [(kind, _always) for kind in (pa.string_view(), pa.large_string(), pa.dictionary(pa.int32(), pa.string()))]
_OTHERS: dict[str, list[tuple[pa.DataType, Callable[..., bool]]]] = {
    "int64": [_DOUBLE, _DECIMAL, (pa.int64(), _always)],
    "int32": [_DOUBLE, _DECIMAL, (pa.int64(), _always)],
    "double": [(pa.int64(), _integral(2**53))],
    "float": [(pa.int32(), _integral(2**24)), (pa.float64(), lambda value: not math.isnan(value))],
    "bool": [(pa.int8(), _always), (pa.float64(), _always)],
    "string": _TEXTS,
    "binary": [(pa.binary_view(), _always), (pa.large_binary(), _always)],
}
