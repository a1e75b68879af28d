"""Labels of a spine's rows: 0 or 1, null where unknown; and which of them were known at an instant."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from skewless.contract.errors import SkewlessError
from skewless.contract.timestamp_arrays import UtcMicrosArray
from skewless.contract.timestamps import duration_micros, nanos_to_micros, to_micros
from skewless.offline.join.point_in_time import spine_times
from skewless.project.model import LabelColumn
from skewless.runtime.errors import SpineMismatch

Labels = NDArray[np.float64]
_LISTED = 5
_NEGATIVE = {"no", "n", "false", "f", "negative", "off", "none", ""}


@dataclass(eq=False)
class BadLabels(SkewlessError):
    """A column of labels that holds something else than 0 and 1; `values` are some of its values with their rows."""

    label: str
    kind: str
    values: tuple[tuple[str, int], ...]

    def __str__(self) -> str:
        listed = ", ".join(f"{value} in {rows:,} rows" for value, rows in self.values)
        texts = sorted((value for value, _ in self.values[:2]), key=_negative_first)
        mapping = ", ".join(f"{value}: {number}" for number, value in enumerate(texts))
        return (
            f"the label {self.label!r} is {self.kind} and holds {listed}; a label is 0 or 1 (or a boolean): map its values "
            f"where the spine is made, as `frame[{self.label!r}].map({{{mapping}}})`"
        )


def _negative_first(text: str) -> tuple[bool, float, str]:
    """An order in which what says no comes first, then the lesser number."""
    plain = text.strip("'").casefold()
    try:
        return False, float(plain), text
    except ValueError:
        return plain not in _NEGATIVE, 0.0, text


def labelled(table: pa.Table, label: str) -> tuple[pa.Table, Labels]:
    """The rows whose label is known by now, and their labels as 0.0 and 1.0. Raises: SpineMismatch, BadLabels."""
    if label not in table.column_names:
        raise SpineMismatch(label, f"is absent; the spine has {table.column_names}")
    known = table.filter(_is_known(table.column(label)))
    column = known.column(label)
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    if not _is_binary(column):
        raise BadLabels(label, str(column.type), _values(column))
    labels: Labels = column.combine_chunks().cast(pa.float64()).to_numpy(zero_copy_only=False)
    return known, labels


def known_labels(table: pa.Table, label: LabelColumn, by: datetime) -> tuple[pa.Table, Labels]:
    """The rows whose label was known at `by` (included), and their labels. Raises: SpineMismatch, BadLabels."""
    rows, labels = labelled(table, label.name)
    known = _known_since(rows, label) <= to_micros(by)
    return rows.filter(pa.array(known)), labels[known]


def _known_since(table: pa.Table, label: LabelColumn) -> UtcMicrosArray:
    """Since when each row's label is known, in microseconds; the end of time where that is null. Raises: SpineMismatch."""
    if label.known_at is None:
        return spine_times(table) + duration_micros(label.known_after)
    if label.known_at not in table.column_names:
        raise SpineMismatch(label.known_at, f"is absent, when the label is known; the spine has {table.column_names}")
    column = table.column(label.known_at)
    if not pa.types.is_timestamp(column.type):
        raise SpineMismatch(label.known_at, f"is {column.type}; when a label is known must be a timestamp")
    unit = column.type.unit if column.type.unit == "ns" else "us"
    times = column.cast(pa.timestamp(unit, column.type.tz)).cast(pa.int64()).combine_chunks()
    since: UtcMicrosArray = times.fill_null(np.iinfo(np.int64).max).to_numpy(zero_copy_only=False)
    return nanos_to_micros(since) if unit == "ns" else since


def _is_known(column: pa.ChunkedArray) -> pa.ChunkedArray:
    known = pc.is_valid(column)
    return pc.and_not(known, pc.is_nan(column)) if pa.types.is_floating(column.type) else known


def _is_binary(column: pa.ChunkedArray) -> bool:
    if not pa.types.is_integer(column.type) and not pa.types.is_floating(column.type):
        return False
    return bool(pc.all(pc.is_in(column, pa.array([0, 1]).cast(column.type)), min_count=0).as_py())


def _values(column: pa.ChunkedArray) -> tuple[tuple[str, int], ...]:
    """The most frequent values with their rows."""
    counts = Counter(map(repr, column.to_pylist()))
    return tuple(sorted(counts.items(), key=lambda count: (-count[1], count[0]))[:_LISTED])
