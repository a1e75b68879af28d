"""From the oracles' values to the contract's arrays and back, keeping every bit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from skewless.contract.columns import ColumnValues, EntityRows, column_values
from skewless.contract.storage.packed_row import RowLayout
from skewless.contract.value_types import value_type
from tests.oracles import Row, Value, bits
from tests.strategies import arrow_column


def packed(schema, rows: Sequence[Row]) -> list[bytes]:
    """The rows as the contract packs them."""
    columns = [arrow_column(field.dtype, [row.values[place] for row in rows]) for place, field in enumerate(schema)]
    return RowLayout(schema).encode(
        np.array([row.event for row in rows], np.int64),
        np.array([row.created for row in rows], np.int64),
        np.array([row.deleted for row in rows], bool),
        columns,
    )


def as_values(dtype: str, column: Sequence[Value]) -> ColumnValues:
    """A column of values as the contract has it."""
    return column_values(value_type(dtype), arrow_column(dtype, column))


def values_bits(dtype: str, values: ColumnValues) -> list[bytes | None]:
    """The bits of the contract's values, None where null. Nulls are held to what `ColumnValues` promises."""
    kind = value_type(dtype)
    assert values.data.dtype == kind.numpy
    found: list[bytes | None] = []
    for place, valid in enumerate(values.valid.tolist()):
        if kind.text:
            assert valid or values.data[place] is None
            assert not valid or isinstance(values.data[place], str if kind.encoding == "utf8" else bytes)
            found.append(bits(dtype, values.data[place]) if valid else None)
        else:
            raw = values.data[place : place + 1].tobytes()
            assert valid or not any(raw)
            found.append(raw if valid else None)
    return found


def rows_bits(schema, rows: EntityRows) -> list[tuple[object, ...]]:
    """Each row of the contract as a tuple: times, tombstone, the bits of its values."""
    columns = [values_bits(f.dtype, values) for f, values in zip(schema, rows.columns, strict=True)]
    return list(zip(rows.event.tolist(), rows.created.tolist(), rows.deleted.tolist(), *columns, strict=True))
