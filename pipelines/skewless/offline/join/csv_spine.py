"""A spine in a CSV file: columns of the types that the plan declares, times as ISO 8601, all else as it looks. Nulls,
separators and numbers are read as in the CSV files of a table.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from skewless.contract.timestamp_arrays import UTC_TIMESTAMP
from skewless.offline.values import csv_input
from skewless.offline.values.exact_values import InexactValue, exact
from skewless.runtime.errors import SpineMismatch, SpineUnreadable

SUFFIXES = (".csv", ".csv.gz", ".csv.zst")


def is_csv(path: Path) -> bool:
    return path.name.endswith(SUFFIXES)


def read_csv(path: Path, types: Mapping[str, pa.DataType]) -> pa.Table:
    """All rows; a naive time is UTC. Raises: SpineUnreadable, SpineMismatch."""
    texts = {name for name, kind in types.items() if pa.types.is_timestamp(kind) or csv_input.is_number(kind)}
    declared = {name: pa.string() if name in texts else kind for name, kind in types.items()}
    try:
        table = csv_input.read_csv(path, declared)
    except (OSError, pa.ArrowException) as error:
        raise SpineUnreadable(str(path), str(error).partition("\n")[0]) from error
    for name, kind in types.items():
        if name in texts and name in table.column_names:
            column = table.column(name).combine_chunks()
            values = _times(name, column) if pa.types.is_timestamp(kind) else _numbers(name, column, kind)
            table = table.set_column(table.schema.get_field_index(name), name, values)
    return table


def _numbers(name: str, texts: pa.Array, kind: pa.DataType) -> pa.Array:
    """Raises: SpineMismatch."""
    try:
        return exact(csv_input.numbers(texts, kind), kind)
    except InexactValue as error:
        raise SpineMismatch(
            name, f"is {error.value!r} in row {error.row} (counted from 0), which is no {kind}"
        ) from None


def _times(name: str, texts: pa.Array) -> pa.Array:
    """Raises: SpineMismatch."""
    series = texts.to_pandas()
    parsed = pd.to_datetime(series, utc=True, format="ISO8601", errors="coerce")
    wrong = np.flatnonzero(parsed.isna() & series.notna())
    if len(wrong):
        raise SpineMismatch(
            name, f"is {series[wrong[0]]!r} in row {wrong[0]} (counted from 0), which is no ISO 8601 time"
        )
    return pa.array(parsed.dt.as_unit("us")).cast(UTC_TIMESTAMP)
