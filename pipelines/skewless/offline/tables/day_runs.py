"""Rows in any order, put together by UTC day: an external sort, so that memory holds a part of the rows and one day of them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Self

import pyarrow as pa
import pyarrow.compute as pc

_BYTES_A_RUN = 128 << 20


@dataclass(frozen=True, slots=True)
class DayRun:
    """Rows sorted by day, in memory or mapped from a file, and where each day of them begins and ends."""

    rows: pa.Table
    places: dict[date, tuple[int, int]]


class DayRuns:
    """Reads all `batches` when it is entered; a context manager, since rows beyond the memory lie in a temporary folder."""

    def __init__(self, batches: Iterable[pa.RecordBatch], event: str, run_bytes: int = _BYTES_A_RUN) -> None:
        self._batches, self._event, self._run_bytes = batches, event, run_bytes
        self._runs: list[DayRun] = []
        self._open = ExitStack()

    def __enter__(self) -> Self:
        with self._open:
            self._read()
            self._open = self._open.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._runs.clear()
        self._open.close()

    def days(self) -> list[date]:
        """The days that have rows, in order."""
        return sorted({day for run in self._runs for day in run.places})

    def rows(self, day: date) -> pa.Table:
        """The rows of a day, in the order in which they came. Raises: pa.ArrowTypeError where types of batches differ."""
        parts = [run.rows.slice(*run.places[day]) for run in self._runs if day in run.places]
        return pa.concat_tables(parts, promote_options="default")

    def by_day(self) -> Iterator[tuple[date, pa.Table]]:
        """Each day with its rows."""
        for day in self.days():
            yield day, self.rows(day)

    def _read(self) -> None:
        waiting: list[pa.RecordBatch] = []
        size = 0
        for batch in self._batches:
            if batch.num_rows:
                waiting.append(batch)
                size += batch.nbytes
            if size >= self._run_bytes:
                self._runs.append(self._spilled(_sorted(waiting, self._event)))
                waiting, size = [], 0
        if waiting:
            self._runs.append(_sorted(waiting, self._event))

    def _spilled(self, run: DayRun) -> DayRun:
        """The same rows, mapped from a file."""
        folder = Path(self._open.enter_context(tempfile.TemporaryDirectory(prefix="skewless-ingest-")))
        with pa.OSFile(str(folder / "run.arrow"), "wb") as file, pa.ipc.new_file(file, run.rows.schema) as writer:
            writer.write_table(run.rows)
        mapped = self._open.enter_context(pa.memory_map(str(folder / "run.arrow")))
        return DayRun(pa.ipc.open_file(mapped).read_all(), run.places)


def _sorted(batches: list[pa.RecordBatch], event: str) -> DayRun:
    rows = pa.concat_tables([pa.Table.from_batches([batch]) for batch in batches], promote_options="default")
    days = pc.cast(rows[event], pa.date32(), safe=False).combine_chunks()
    days = pa.concat_arrays(days.chunks) if isinstance(days, pa.ChunkedArray) else days
    if len(days) > 1 and not pc.all(pc.less_equal(days[:-1], days[1:])).as_py():
        order = pc.sort_indices(days)
        rows, days = rows.take(order), days.take(order)
    encoded = pc.run_end_encode(days, run_end_type=pa.int32())
    places, begin = {}, 0
    for day, stop in zip(encoded.values.to_pylist(), encoded.run_ends.to_pylist(), strict=True):
        places[day] = (begin, stop - begin)
        begin = stop
    return DayRun(rows, places)
