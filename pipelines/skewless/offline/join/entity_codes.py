"""The entities of a spine as small integers, and which of them a table's rows belong to.

Held by tests/offline/join/test_point_in_time.py.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Codes = NDArray[np.int64]
_NONE = -1
_SPARSE, _SMALL = 8, 1 << 20


class EntityCodes:
    """Compiled from the spine's join-key columns (n rows each): `codes` has an integer below `count` for each row,
    or -1 where a key is null. Without join keys there is one entity.
    """

    def __init__(self, keys: Sequence[pa.Array], rows: int) -> None:
        self._dictionaries = [_KeyDictionary(key) for key in keys]
        self._pairs: list[Codes] = []
        self.count = 1
        self.codes: Codes = np.zeros(rows, np.int64)
        for place, (key, dictionary) in enumerate(zip(keys, self._dictionaries, strict=True)):
            if place == 0:
                self.codes, self.count = dictionary.places(key), len(dictionary)
                continue
            pairs = _pair_codes(self.codes, dictionary.places(key), len(dictionary))
            known = np.unique(pairs[pairs >= 0])
            self._pairs.append(known)
            self.codes, self.count = _positions_in(pairs, known), len(known)

    def of(self, keys: Sequence[pa.Array], rows: int) -> Codes:
        """The codes of a table's rows, by their join-key columns; -1 for an entity that is not in the spine."""
        if not keys:
            return np.zeros(rows, np.int64)
        codes = self._dictionaries[0].places(keys[0])
        for key, dictionary, known in zip(keys[1:], self._dictionaries[1:], self._pairs, strict=True):
            codes = _positions_in(_pair_codes(codes, dictionary.places(key), len(dictionary)), known)
        return codes


class _KeyDictionary:
    """The distinct values of one key, numbered. Integers close to each other are looked up by place, all others by
    Arrow's hash table, which is made anew for each look-up.
    """

    def __init__(self, key: pa.Array) -> None:
        self._values = pc.drop_null(pc.unique(key))
        self._first = 0
        self._table: Codes | None = None
        if pa.types.is_integer(key.type) and len(self._values):
            values = self._values.cast(pa.int64()).to_numpy()
            self._first, last = int(values.min()), int(values.max())
            if last - self._first < max(_SPARSE * len(values), _SMALL):
                self._table = np.full(last - self._first + 2, _NONE, np.int64)
                self._table[values - self._first] = np.arange(len(values))

    def __len__(self) -> int:
        return len(self._values)

    def places(self, key: pa.Array) -> Codes:
        """The number of each value; -1 for one that is null or unknown."""
        if self._table is None:
            numbers = pc.index_in(key, value_set=self._values)
            places: Codes = numbers.fill_null(_NONE).to_numpy(zero_copy_only=False).astype(np.int64)
            return places
        after = self._first + len(self._table) - 1
        numbers = key.cast(pa.int64()).fill_null(after).to_numpy()
        inside = np.where((numbers >= self._first) & (numbers < after), numbers, after)
        known: Codes = self._table[inside - self._first]
        return known


def _pair_codes(codes: Codes, places: Codes, size: int) -> Codes:
    """One integer for each pair of a code and a value's number below `size`; -1 where either is none."""
    return np.where((codes < 0) | (places < 0), _NONE, codes * size + places)


def _positions_in(pairs: Codes, known: Codes) -> Codes:
    """The place of each pair in `known` (ascending), or -1."""
    if not len(known):
        return np.full(len(pairs), _NONE, np.int64)
    places = np.searchsorted(known, pairs)
    places[places == len(known)] = 0
    return np.where(known[places] == pairs, places, _NONE)
