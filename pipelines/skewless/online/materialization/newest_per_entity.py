"""Keeps the newest rows of each entity, in memory that does not grow with the table.

All rows with the same newest times are kept: the store decides between them by their bytes.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from skewless.contract.columns import Flags
from skewless.contract.timestamp_arrays import UtcMicrosArray
from skewless.offline.tables.arrivals import ROWS_A_BATCH
from skewless.offline.tables.view_rows import ViewRows

Places = NDArray[np.int64]
CHUNK_ROWS = 2 * ROWS_A_BATCH
CHUNK_BYTES = 32 << 20
REMEMBERED = 1_500_000


def newest(keys: pa.BinaryArray, event: UtcMicrosArray, created: UtcMicrosArray) -> Places:
    """The positions of the rows with the greatest (event, created) of their key, ties included, in ascending order.

    Rows whose key is null are left out.
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
    places: Places = owned[(event == event[best]) & (created == created[best])]
    return places


def chunks(batches: Iterator[ViewRows]) -> Iterator[ViewRows]:
    """The same rows in larger batches: of at least CHUNK_ROWS rows or CHUNK_BYTES bytes, but for the last."""
    buffered: list[ViewRows] = []
    rows = size = 0
    for batch in batches:
        buffered.append(batch)
        rows, size = rows + len(batch), size + _bytes(batch)
        if rows >= CHUNK_ROWS or size >= CHUNK_BYTES:
            chunk = joined(buffered)
            buffered, rows, size = [], 0, 0  # freed while the caller works
            yield chunk
            del chunk
    if rows:
        yield joined(buffered)


def joined(parts: list[ViewRows]) -> ViewRows:
    """The concatenation of one or more histories."""
    if len(parts) == 1:
        return parts[0]
    return ViewRows(
        tuple(pa.concat_arrays(arrays) for arrays in zip(*(part.keys for part in parts), strict=True)),
        np.concatenate([part.event for part in parts]),
        np.concatenate([part.created for part in parts]),
        np.concatenate([part.deleted for part in parts]),
        tuple(pa.concat_arrays(arrays) for arrays in zip(*(part.columns for part in parts), strict=True)),
    )


class SeenTimes:
    """The newest times seen so far of each of the first `limit` entities; further entities are not tracked."""

    def __init__(self, limit: int = REMEMBERED) -> None:
        self._limit = limit
        self._keys: pa.BinaryArray = pa.array([], pa.binary())
        self._event, self._created = np.zeros(0, np.int64), np.zeros(0, np.int64)

    def __len__(self) -> int:
        return len(self._keys)

    def newer(self, keys: pa.BinaryArray, event: UtcMicrosArray, created: UtcMicrosArray) -> Flags:
        """Which rows are not older than the newest seen row of their entity; these rows are then recorded as seen.

        All rows of one entity must have the same times, as after `newest`.
        """
        places = pc.index_in(keys, value_set=self._keys).fill_null(-1).to_numpy(zero_copy_only=False)
        known = places >= 0
        seen_event, seen_created = self._event[places[known]], self._created[places[known]]
        new_event, same_event = event[known], event[known] == seen_event
        newer = np.ones(len(keys), bool)
        newer[known] = (new_event > seen_event) | (same_event & (created[known] >= seen_created))
        replaced = known & newer
        self._event[places[replaced]], self._created[places[replaced]] = event[replaced], created[replaced]
        self.remember(keys.filter(pa.array(~known)), event[~known], created[~known])
        return newer

    def remember(self, keys: pa.BinaryArray, event: UtcMicrosArray, created: UtcMicrosArray) -> None:
        """Record these rows as seen. If an entity is recorded twice its first times are used: then fewer rows are filtered out."""
        room = max(self._limit - len(self), 0)
        self._keys = pa.concat_arrays([self._keys, keys[:room]])
        self._event = np.concatenate([self._event, event[:room]])
        self._created = np.concatenate([self._created, created[:room]])


def _bytes(history: ViewRows) -> int:
    return 17 * len(history) + sum(int(column.nbytes) for column in (*history.keys, *history.columns))
