"""The newest row of each entity among what arrived, as keys and packed rows: what materialize writes, and verify expects.

Memory is bounded by `reduction.CHUNK_BYTES` and what `SeenTimes` remembers, however many rows there are.

Held by tests/online/materialization/test_materialize.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa

from skewless.contract.admission import Flags
from skewless.contract.plan import PlanView
from skewless.contract.storage.key_columns import KeyColumnPacker
from skewless.contract.storage.packed_row import RowLayout
from skewless.contract.value_types import value_type
from skewless.offline.tables.arrivals import ViewArrivals
from skewless.offline.tables.view_rows import ViewRows
from skewless.offline.values.packing import packable
from skewless.online.materialization.newest_per_entity import CHUNK_ROWS, SeenTimes, chunks, newest


class NewestArrivals:
    """Reads what arrived and keeps each entity's newest rows; counts the rows on its way.

    `advance` is told of each batch how many rows it had; `take` says which rows count (the window's, by default).
    """

    def __init__(
        self,
        news: ViewArrivals,
        project: str,
        advance: Callable[[int], None],
        take: Callable[[ViewRows], Flags] | None = None,
    ) -> None:
        self._news, self._advance, self._take = news, advance, take or news.take
        self._keys = KeyColumnPacker(project, news.view)
        self.taken = self.waiting = self._read = 0

    def rows(self, batches: Iterator[ViewRows]) -> Iterator[tuple[pa.BinaryArray, pa.BinaryArray]]:
        """Keys and packed rows. An entity may come again with an older row, which does not win."""
        seen = SeenTimes() if len(self._news.pieces) > 1 and self._news.rows > CHUNK_ROWS else None
        for chunk in chunks(self._arrived(batches)):
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
        if seen is not None and self._read <= self._news.pieces[0].rows:
            seen.remember(keys, chunk.event, chunk.created)  # all of one file: hardly any of them is a newer one's
        elif seen is not None:
            news = seen.news(keys, chunk.event, chunk.created)
            if not news.all():
                keys, chunk = keys.filter(pa.array(news)), chunk.take(news)
        return keys, packed(self._news.view, chunk)

    def _arrived(self, batches: Iterator[ViewRows]) -> Iterator[ViewRows]:
        for batch in batches:
            arrived = self._take(batch)
            self.taken += int(np.count_nonzero(arrived))
            self.waiting += self._news.waiting(batch)
            self._read += len(batch)
            self._advance(len(batch))
            if arrived.any():
                yield batch if arrived.all() else batch.take(arrived)


def packed(view: PlanView, history: ViewRows) -> pa.BinaryArray:
    """The rows of a history as the online store holds them. Raises: SourceMismatch."""
    columns = [
        packable(view.stored_as, field.name, value_type(field.dtype), column)
        for field, column in zip(view.fields, history.columns, strict=True)
    ]
    return RowLayout(view.fields).pack(history.event, history.created, history.deleted, columns)
