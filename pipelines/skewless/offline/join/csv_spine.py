"""A spine in a CSV file: columns of the types that the plan declares, times as ISO 8601, all else as Arrow infers it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv

from skewless.contract.timestamp_arrays import UTC_TIMESTAMP
from skewless.runtime.errors import SpineMismatch, SpineUnreadable

SUFFIXES = (".csv", ".csv.gz", ".csv.zst")


def is_csv(path: Path) -> bool:
    return path.name.endswith(SUFFIXES)


def read_csv(path: Path, types: Mapping[str, pa.DataType]) -> pa.Table:
    """All rows; a naive time is UTC. Raises: SpineUnreadable, SpineMismatch."""
    times = [name for name, kind in types.items() if pa.types.is_timestamp(kind)]
    declared = {name: pa.string() if name in times else kind for name, kind in types.items()}
    options = pyarrow.csv.ConvertOptions(column_types=declared, strings_can_be_null=True)
    try:
        table = pyarrow.csv.read_csv(path, convert_options=options)
    except (OSError, pa.ArrowException) as error:
        raise SpineUnreadable(str(path), str(error).partition("\n")[0]) from error
    for name in times:
        if name in table.column_names:
            place = table.schema.get_field_index(name)
            table = table.set_column(place, name, _times(name, table.column(name)))
    return table


def _times(name: str, texts: pa.ChunkedArray) -> pa.Array:
    """Raises: SpineMismatch."""
    series = texts.to_pandas()
    parsed = pd.to_datetime(series, utc=True, format="ISO8601", errors="coerce")
    wrong = np.flatnonzero(parsed.isna() & series.notna())
    if len(wrong):
        raise SpineMismatch(
            name, f"is {series[wrong[0]]!r} in row {wrong[0]} (counted from 0), which is no ISO 8601 time"
        )
    return pa.array(parsed.dt.as_unit("us")).cast(UTC_TIMESTAMP)
