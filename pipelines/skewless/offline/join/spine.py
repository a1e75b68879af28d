"""A spine on disk read in slices of time, so that it need not fit into memory: in order of time, each slice short."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from numpy.typing import NDArray

from skewless.contract.timestamp_arrays import timestamp_scalar
from skewless.contract.timestamps import UtcMicros, to_micros
from skewless.offline.join.point_in_time import TIMESTAMP, spine_times
from skewless.offline.tables.source import parquet_files
from skewless.runtime.errors import SourceMissing, SpineMismatch

_BINS = 4096
_READAHEAD = 2


@dataclass(frozen=True, slots=True)
class SpineSlice:
    """How many rows have first <= event_timestamp < after, in microseconds."""

    first: UtcMicros
    after: UtcMicros
    rows: int


class SpineFiles:
    """The rows of a Parquet file or folder with start <= event_timestamp < end. Raises: SourceMissing, SpineMismatch."""

    def __init__(self, path: Path, start: datetime, end: datetime) -> None:
        files = [path] if path.is_file() else parquet_files(path)
        if not files:
            raise SourceMissing("spine", str(path))
        self._dataset = ds.dataset([str(file) for file in files], format="parquet")
        self._window = to_micros(start), to_micros(end)
        within(self._dataset.schema, *self._window)

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
