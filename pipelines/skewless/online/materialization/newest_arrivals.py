"""The newest row of each entity among the arrivals, as keys and packed rows: what materialize writes and verify expects.

Memory is bounded by `newest_per_entity.CHUNK_BYTES` and the entities in `SeenTimes`, however many rows there are.

Held by tests/online/materialization/test_materialize.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa

from skewless.contract.columns import Flags
from skewless.contract.plan import PlanView
from skewless.contract.storage.key_columns import KeyColumnPacker
from skewless.contract.storage.packed_row import layout_of
from skewless.contract.timestamps import from_micros, to_micros
from skewless.contract.value_types import value_type
from skewless.offline.tables.arrivals import ViewArrivals
from skewless.offline.tables.view_rows import ViewRows
from skewless.offline.values.packing import packable
from skewless.online.materialization.newest_per_entity import CHUNK_ROWS, SeenTimes, chunks, newest

_EARLIEST = to_micros(datetime.min.replace(tzinfo=UTC))


class NewestArrivals:
    """Reads arrivals and keeps each entity's newest rows; counts the rows selected and held back (`waiting`), and keeps the
    newest event time of those selected.

    `advance` is called with the number of rows of each batch; `take` selects rows (by default those in the window).
    """

    def __init__(
        self,
        arrivals: ViewArrivals,
        project: str,
        advance: Callable[[int], None],
        take: Callable[[ViewRows], Flags] | None = None,
    ) -> None:
        self._arrivals, self._advance, self._take = arrivals, advance, take or arrivals.take
        self._keys = KeyColumnPacker(project, arrivals.view)
        self.selected = self.waiting = self._read = 0
        self._newest = _EARLIEST

    @property
    def newest_event(self) -> datetime | None:
        """The newest event time among the rows selected so far; None without rows, and before the year 1."""
        return from_micros(self._newest) if self._newest > _EARLIEST else None

    def rows(self, batches: Iterator[ViewRows]) -> Iterator[tuple[pa.BinaryArray, pa.BinaryArray]]:
        """Keys and packed rows, in chunks. An entity may appear again with an older row, which loses in the store."""
        seen = SeenTimes() if len(self._arrivals.pieces) > 1 and self._arrivals.rows > CHUNK_ROWS else None
        for chunk in chunks(self._selected_rows(batches)):
            keys, rows = self._reduced(chunk, seen)
            del chunk
            if len(keys):
                yield keys, rows
            del keys, rows
            pa.default_memory_pool().release_unused()

    def _reduced(self, chunk: ViewRows, seen: SeenTimes | None) -> tuple[pa.BinaryArray, pa.BinaryArray]:
        keys = self._keys.pack(chunk.keys, len(chunk))
        places = newest(keys, chunk.event, chunk.created)
        if len(places) < len(chunk):
            keys, chunk = keys.take(pa.array(places)), chunk.take(places)
        if seen is not None and self._read <= self._arrivals.pieces[0].rows:
            seen.remember(
                keys, chunk.event, chunk.created
            )  # rows of the first file: few of these entities were seen before
        elif seen is not None:
            newer = seen.newer(keys, chunk.event, chunk.created)
            if not newer.all():
                keys, chunk = keys.filter(pa.array(newer)), chunk.take(newer)
        return keys, packed(self._arrivals.view, chunk)

    def _selected_rows(self, batches: Iterator[ViewRows]) -> Iterator[ViewRows]:
        for batch in batches:
            arrived = self._take(batch)
            self.selected += int(np.count_nonzero(arrived))
            self.waiting += self._arrivals.waiting(batch)
            self._read += len(batch)
            self._advance(len(batch))
            if arrived.any():
                chosen = batch if arrived.all() else batch.take(arrived)
                self._newest = max(self._newest, int(chosen.event.max()))
                yield chosen


def packed(view: PlanView, history: ViewRows) -> pa.BinaryArray:
    """The rows of a history in the packed format of the online store. Raises: SourceMismatch."""
    columns = [
        packable(view.stored_as, field.name, value_type(field.dtype), column)
        for field, column in zip(view.fields, history.columns, strict=True)
    ]
    return layout_of(view.fields).pack(history.event, history.created, history.deleted, columns)
