"""Keeps of each entity the newest rows, in memory that does not grow with the table.

Rows of equal times stay together: the store settles those by their bytes.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from skewless.contract.admission import Flags
from skewless.contract.timestamps import UtcMicrosArray
from skewless.offline.tables.arrivals import ROWS_A_BATCH
from skewless.offline.tables.view_rows import ViewRows

Places = NDArray[np.int64]
CHUNK_ROWS = 2 * ROWS_A_BATCH
CHUNK_BYTES = 32 << 20
REMEMBERED = 1_500_000


def newest(keys: pa.BinaryArray, event: UtcMicrosArray, created: UtcMicrosArray) -> Places:
    """The places of the rows with the greatest (event, created) of their key, each tie included, in order of places.

    A row whose key is null is nobody's.
    """
    coded = keys.dictionary_encode()
    codes = coded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    owned = np.flatnonzero(codes >= 0)
    if len(coded.dictionary) == len(owned):
        return owned
    codes, event, created = codes[owned], event[owned], created[owned]
    order = np.lexsort((created, event, codes))
    last = np.flatnonzero(np.append(codes[order][1:] != codes[order][:-1], True))
    best = order[last][codes]
    found: Places = owned[(event == event[best]) & (created == created[best])]
    return found


def chunks(batches: Iterator[ViewRows]) -> Iterator[ViewRows]:
    """The same rows in larger batches: of so many rows, or so many bytes."""
    held: list[ViewRows] = []
    rows = size = 0
    for batch in batches:
        held.append(batch)
        rows, size = rows + len(batch), size + _bytes(batch)
        if rows >= CHUNK_ROWS or size >= CHUNK_BYTES:
            whole = joined(held)
            held, rows, size = [], 0, 0  # not held while the caller works
            yield whole
            del whole
    if rows:
        yield joined(held)


def joined(parts: list[ViewRows]) -> ViewRows:
    """One history of several, of at least one."""
    if len(parts) == 1:
        return parts[0]
    return ViewRows(
        tuple(pa.concat_arrays(some) for some in zip(*(part.keys for part in parts), strict=True)),
        np.concatenate([part.event for part in parts]),
        np.concatenate([part.created for part in parts]),
        np.concatenate([part.deleted for part in parts]),
        tuple(pa.concat_arrays(some) for some in zip(*(part.columns for part in parts), strict=True)),
    )


class SeenTimes:
    """The newest times that were seen of each of the first `limit` entities; of others nothing is known."""

    def __init__(self, limit: int = REMEMBERED) -> None:
        self._limit = limit
        self._keys: pa.BinaryArray = pa.array([], pa.binary())
        self._event, self._created = np.zeros(0, np.int64), np.zeros(0, np.int64)

    def __len__(self) -> int:
        return len(self._keys)

    def news(self, keys: pa.BinaryArray, event: UtcMicrosArray, created: UtcMicrosArray) -> Flags:
        """Which rows are not older than what was seen of their entity. They count as seen from now on.

        Rows of one entity have the same times, as `newest` leaves them.
        """
        found = pc.index_in(keys, value_set=self._keys).fill_null(-1).to_numpy(zero_copy_only=False)
        known = found >= 0
        seen_event, seen_created = self._event[found[known]], self._created[found[known]]
        mine, same = event[known], event[known] == seen_event
        news = np.ones(len(keys), bool)
        news[known] = (mine > seen_event) | (same & (created[known] >= seen_created))
        again = known & news
        self._event[found[again]], self._created[found[again]] = event[again], created[again]
        self.remember(keys.filter(pa.array(~known)), event[~known], created[~known])
        return news

    def remember(self, keys: pa.BinaryArray, event: UtcMicrosArray, created: UtcMicrosArray) -> None:
        """Count these rows as seen. Of an entity that is given again the first times stay: less is then left out."""
        room = max(self._limit - len(self), 0)
        self._keys = pa.concat_arrays([self._keys, keys[:room]])
        self._event = np.concatenate([self._event, event[:room]])
        self._created = np.concatenate([self._created, created[:room]])


def _bytes(history: ViewRows) -> int:
    return 17 * len(history) + sum(int(column.nbytes) for column in (*history.keys, *history.columns))
