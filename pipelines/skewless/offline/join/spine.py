"""A spine on disk read in slices of time, so that it need not fit into memory: in order of time, each slice short."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from numpy.typing import NDArray

from skewless.contract.model.assembler import fields_of
from skewless.contract.plan import Plan
from skewless.contract.timestamp_arrays import UTC_TIMESTAMP, timestamp_scalar
from skewless.contract.timestamps import UtcMicros, aware, from_micros, to_micros
from skewless.contract.value_types import value_type
from skewless.offline.join.csv_spine import is_csv, read_csv
from skewless.offline.join.point_in_time import TIMESTAMP, spine_times
from skewless.offline.tables.source import parquet_files
from skewless.offline.values.column_types import plain_type
from skewless.runtime.errors import EmptyWindow, SpineMismatch, SpineMissing, SpineUnreadable

_BINS = 4096
_LISTED = 5
_NO_TYPES: Mapping[str, pa.DataType] = MappingProxyType({})
_READAHEAD = 2


@dataclass(frozen=True, slots=True)
class SpineSlice:
    """How many rows have first <= event_timestamp < after, in microseconds."""

    first: UtcMicros
    after: UtcMicros
    rows: int


class SpineFiles:
    """The rows of a Parquet file or folder, or of a CSV file, with start <= event_timestamp < end. `types` are those of a
    CSV file's columns: see `declared_types`.

    Raises: SpineMissing, SpineUnreadable, SpineMismatch (where a row has no time, too: none is left out).
    """

    def __init__(
        self, path: Path, start: datetime, end: datetime, types: Mapping[str, pa.DataType] = _NO_TYPES
    ) -> None:
        self._path = path
        self._dataset = _opened(path, types)
        self._window = to_micros(start), to_micros(end)
        within(self._dataset.schema, *self._window)
        _require_times(self._dataset)

    def require_rows(self) -> None:
        """Raises: EmptyWindow."""
        if self._dataset.count_rows(filter=within(self._dataset.schema, *self._window)):
            return
        whole = pc.min_max(self._dataset.to_table(columns=[TIMESTAMP]).column(TIMESTAMP)).as_py()
        first, last = (aware(at) if at is not None else None for at in (whole["min"], whole["max"]))
        start, end = map(from_micros, self._window)
        raise EmptyWindow(f"the spine {self._path}", start, end, first, last)

    def table(self) -> pa.Table:
        """All rows in order of time; those of one instant in the order of the files."""
        return self._rows(*self._window).to_table().sort_by(TIMESTAMP)

    def parts(self, rows: int) -> Iterator[pa.Table]:
        """The same in parts of at most `rows` rows each, none of them empty. The times are read once to see how they
        are spread, then each slice by itself.
        """
        for one in self._slices(*self._window, rows):
            found = self._rows(one.first, one.after)
            if one.rows <= rows:
                yield found.to_table().sort_by(TIMESTAMP)
                continue
            for batch in found.to_batches():  # a single instant: the order of the files is the order
                for begin in range(0, len(batch), rows):
                    yield pa.Table.from_batches([batch.slice(begin, rows)])

    def non_empty_parts(self, rows: int) -> Iterator[pa.Table]:
        """These parts; of an empty spine an empty one, so that it has its columns."""
        parts = self.parts(rows)
        first = next(parts, None)
        yield self.table() if first is None else first
        yield from parts

    def _rows(self, first: UtcMicros, after: UtcMicros, columns: Sequence[str] | None = None) -> ds.Scanner:
        return self._dataset.scanner(
            columns=columns,
            filter=within(self._dataset.schema, first, after),
            batch_readahead=_READAHEAD,
            fragment_readahead=_READAHEAD,
        )

    def _slices(self, first: UtcMicros, after: UtcMicros, rows: int) -> Iterator[SpineSlice]:
        """Slices of at most `rows` rows, or of one instant."""
        width = max(-(-(after - first) // _BINS), 1)
        counts = self._spread(first, after, width)
        begin = held = 0
        for place in [*range(len(counts)), len(counts)]:
            count = int(counts[place]) if place < len(counts) else rows + 1
            if held + count <= rows:
                held += count
                continue
            if held:
                yield SpineSlice(first + begin * width, min(first + place * width, after), held)
            begin, held = place, count
            if place < len(counts) and count > rows:
                bounds = first + place * width, min(first + (place + 1) * width, after)
                yield from [SpineSlice(*bounds, count)] if width == 1 else self._slices(*bounds, rows)
                begin, held = place + 1, 0

    def _spread(self, first: UtcMicros, after: UtcMicros, width: int) -> NDArray[np.int64]:
        """How many rows fall into each bin of `width` microseconds."""
        bins = max(-(-(after - first) // width), 0)
        counts = np.zeros(bins, np.int64)
        for batch in self._rows(first, after, [TIMESTAMP]).to_batches():
            times = spine_times(pa.Table.from_batches([batch]))
            counts += np.bincount((times - first) // width, minlength=bins)
        return counts


def declared_types(plan: Plan, known_at: str | None = None) -> dict[str, pa.DataType]:
    """The types in which a CSV spine's columns are read: the plan's join keys and request inputs, and the times, of which
    `known_at` may be one.
    """
    types = {field.name: value_type(field.dtype).arrow for field in fields_of(plan)}
    return types | dict.fromkeys([TIMESTAMP] + ([known_at] if known_at else []), UTC_TIMESTAMP)


def _opened(path: Path, types: Mapping[str, pa.DataType]) -> ds.Dataset:
    """Raises: SpineMissing, SpineUnreadable, SpineMismatch."""
    if path.is_file() and is_csv(path):
        return ds.dataset(read_csv(path, {TIMESTAMP: UTC_TIMESTAMP} | dict(types)))
    files = [path] if path.is_file() else parquet_files(path)
    if not files:
        raise SpineMissing(str(path))
    try:
        names = [str(file) for file in files]
        dataset = ds.dataset(names, format="parquet")
        # Arrow has no kernels that filter views of texts.
        plain = pa.schema(
            [field.with_type(plain_type(field.type)) for field in dataset.schema], dataset.schema.metadata
        )
        return dataset if plain.equals(dataset.schema) else ds.dataset(names, format="parquet", schema=plain)
    except (OSError, pa.ArrowException) as error:
        raise SpineUnreadable(str(path), str(error).partition("\n")[0]) from error


def _require_times(dataset: ds.Dataset) -> None:
    """Refuse rows without a time, which a filter by time would drop. Raises: SpineMismatch."""
    for fragment in dataset.get_fragments():
        if _has_times(fragment):
            continue
        null = pc.is_null(fragment.to_table(columns=[TIMESTAMP]).column(TIMESTAMP)).to_numpy()
        if null.any():
            raise SpineMismatch(TIMESTAMP, _without_time(np.flatnonzero(null).tolist(), getattr(fragment, "path", "")))


def _has_times(fragment: ds.Fragment) -> bool:
    """Whether a file's statistics say that each row has a time."""
    if not isinstance(fragment, ds.ParquetFileFragment):
        return False
    footer = fragment.metadata
    columns = [footer.schema.column(place).path for place in range(footer.num_columns)]
    if TIMESTAMP not in columns:
        return False
    statistics = [
        footer.row_group(group).column(columns.index(TIMESTAMP)).statistics for group in range(footer.num_row_groups)
    ]
    return all(stats is not None and stats.has_null_count and not stats.null_count for stats in statistics)


def _without_time(rows: Sequence[int], file: str) -> str:
    some = ", ".join(map(str, rows[:_LISTED])) + (f" and {len(rows) - _LISTED:,} more" if len(rows) > _LISTED else "")
    return f"is null in rows {some} (counted from 0){f' of {file}' if file else ''}; each row needs a time"


def within(schema: pa.Schema, first: UtcMicros, after: UtcMicros) -> pc.Expression:
    """Whether first <= event_timestamp < after (microseconds), for times of any precision; naive ones are UTC.

    Raises: SpineMismatch.
    """
    if TIMESTAMP not in schema.names:
        raise SpineMismatch(TIMESTAMP, f"is absent; the spine has {schema.names}")
    kind = schema.field(TIMESTAMP).type
    if not pa.types.is_timestamp(kind):
        raise SpineMismatch(TIMESTAMP, f"is {kind}; it must be a timestamp")
    begin, end = (timestamp_scalar(instant, kind.tz) for instant in (first, after))
    return (pc.field(TIMESTAMP) >= begin) & (pc.field(TIMESTAMP) < end)
