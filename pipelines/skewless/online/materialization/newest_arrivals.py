"""The newest row of each entity among what arrived, as keys and packed rows: what materialize writes, and verify expects.

Memory is bounded by `reduction.CHUNK_BYTES` and what `Seen` remembers, however many rows there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa

from skewless.contract.admission import Flags
from skewless.contract.plan import View
from skewless.contract.storage.key_columns import KeyColumns
from skewless.contract.storage.packed_row import Layout
from skewless.contract.value_types import value_type
from skewless.offline.tables.arrivals import Arrivals
from skewless.offline.tables.view_rows import History
from skewless.offline.values.packing import packable
from skewless.online.materialization.newest_per_entity import CHUNK_ROWS, Seen, chunks, newest


class NewestArrivals:
    """Reads what arrived and keeps each entity's newest rows; counts the rows on its way.

    `advance` is told of each batch how many rows it had; `take` says which rows count (the window's, by default).
    """

    def __init__(
        self,
        news: Arrivals,
        project: str,
        advance: Callable[[int], None],
        take: Callable[[History], Flags] | None = None,
    ) -> None:
        self._news, self._advance, self._take = news, advance, take or news.take
        self._keys = KeyColumns(project, news.view)
        self.taken = self.waiting = self._read = 0

    def rows(self, batches: Iterator[History]) -> Iterator[tuple[pa.BinaryArray, pa.BinaryArray]]:
        """Keys and packed rows. An entity may come again with an older row, which does not win."""
        seen = Seen() if len(self._news.pieces) > 1 and self._news.rows > CHUNK_ROWS else None
        for chunk in chunks(self._arrived(batches)):
            keys, rows = self._reduced(chunk, seen)
            del chunk
            if len(keys):
                yield keys, rows
            del keys, rows
            pa.default_memory_pool().release_unused()

    def _reduced(self, chunk: History, seen: Seen | None) -> tuple[pa.BinaryArray, pa.BinaryArray]:
        keys = self._keys.pack(chunk.keys, len(chunk))
        places = newest(keys, chunk.event, chunk.created)
        if len(places) < len(chunk):
            keys, chunk = keys.take(pa.array(places)), chunk.take(places)
        if seen is not None and self._read <= self._news.pieces[0].rows:
            seen.remember(keys, chunk.event, chunk.created)  # all of one file: hardly any of them is a newer one's
        elif seen is not None:
            news = seen.news(keys, chunk.event, chunk.created)
            if not news.all():
                keys, chunk = keys.filter(pa.array(news)), chunk.take(news)
        return keys, packed(self._news.view, chunk)

    def _arrived(self, batches: Iterator[History]) -> Iterator[History]:
        for batch in batches:
            arrived = self._take(batch)
            self.taken += int(np.count_nonzero(arrived))
            self.waiting += self._news.waiting(batch)
            self._read += len(batch)
            self._advance(len(batch))
            if arrived.any():
                yield batch if arrived.all() else batch.take(arrived)


def packed(view: View, history: History) -> pa.BinaryArray:
    """The rows of a history as the online store holds them. Raises: SourceMismatch."""
    columns = [
        packable(view.stored_as, field.name, value_type(field.dtype), column)
        for field, column in zip(view.fields, history.columns, strict=True)
    ]
    return Layout(view.fields).pack(history.event, history.created, history.deleted, columns)
