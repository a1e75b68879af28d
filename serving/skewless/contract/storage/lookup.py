"""The online read of a plan as data: the hashes and fields to read from Redis, and the decoding of the replies.

Pure: the asynchronous server, the Feast plug-in and the verifier send the same lookups and decode with the same code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from skewless.contract.columns import ColumnValues, EntityRows, Schema
from skewless.contract.model.assembler import AdmittedRows, admit
from skewless.contract.plan import Plan
from skewless.contract.storage.entity_key import EntityKeyEncoder, KeyValue
from skewless.contract.storage.packed_row import RowReader
from skewless.contract.timestamps import UtcMicros

Reply = Sequence[bytes | None]
Places = list[list[int]]


class HashLookup(NamedTuple):
    """One HMGET: the fields are the views to read, in order."""

    key: bytes
    fields: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class _KeyGroup:
    """The views that share an entity key, and hence a hash."""

    keys: EntityKeyEncoder
    names: tuple[str, ...]
    views: tuple[str, ...]
    fields: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class LookupBatch:
    """The lookups of n rows; each group of views has one lookup for each distinct entity.

    `places`: per group of views and row, the index of its lookup; -1 for a null key, which has none.
    """

    lookups: tuple[HashLookup, ...]
    places: tuple[NDArray[np.intp], ...]


class OnlineRead:
    """Compiled from a plan: `batch` makes the lookups, `decode` decodes the replies."""

    def __init__(self, plan: Plan, wanted: Mapping[str, Schema]) -> None:
        self._plan = plan
        self.readers = {view.name: RowReader(view.name, wanted[view.name], [view.fields]) for view in plan.views}
        self._groups = _groups(plan)

    @property
    def groups(self) -> tuple[tuple[str, ...], ...]:
        """The views that share each entity key, in the order of `places`."""
        return tuple(group.views for group in self._groups)

    @property
    def views(self) -> tuple[str, ...]:
        """All views in the order of `rows`."""
        return tuple(view for group in self._groups for view in group.views)

    def batch(self, entities: Mapping[str, Sequence[KeyValue | None]], rows: int) -> LookupBatch:
        """The lookups for `rows` rows, whose join keys are columns by name."""
        lookups, places = self.lookups(entities, rows)
        return LookupBatch(tuple(lookups), tuple(np.array(place, np.intp) for place in places))

    def lookups(self, entities: Mapping[str, Sequence[KeyValue | None]], rows: int) -> tuple[list[HashLookup], Places]:
        """`batch` in plain lists: the lookups, and the places per group of views and row."""
        lookups: list[HashLookup] = []
        places = []
        for group in self._groups:
            keys = group.keys.encode_rows([entities[name] for name in group.names], rows)
            distinct = dict.fromkeys(keys)
            distinct.pop(None, None)
            begin, end = len(lookups), len(lookups) + len(distinct)
            lookups += map(HashLookup, distinct, repeat(group.fields))  # type: ignore[arg-type]
            if len(distinct) == rows:
                places.append(list(range(begin, end)))
            else:
                index = dict(zip(distinct, range(begin, end), strict=True))
                places.append([index.get(key, -1) for key in keys])
        return lookups, places

    def rows(self, places: Places, replies: Sequence[Reply], n: int) -> Sequence[Reply]:
        """The stored rows of all `views` for each of n rows; None where the store has none."""
        parts = []
        for group, place in zip(self._groups, places, strict=True):
            missing = [None] * len(group.views)
            parts.append([replies[index] if index >= 0 else missing for index in place])
        if len(parts) < 2:
            return parts[0] if parts else [()] * n
        return [[data for part in row for data in part] for row in zip(*parts, strict=True)]

    def decode(self, batch: LookupBatch, replies: Sequence[Reply], at: UtcMicros) -> dict[str, AdmittedRows]:
        """The admitted rows of each view at `at` (microseconds). Raises: CorruptRow, UnknownSchema."""
        admitted: dict[str, AdmittedRows] = {}
        moment = np.int64(at)
        for group, places in zip(self._groups, batch.places, strict=True):
            used, inverse = np.unique(places, return_inverse=True)
            answers = [replies[place] if place >= 0 else None for place in used.tolist()]
            for position, name in enumerate(group.views):
                rows = self.readers[name].read([answer[position] if answer else None for answer in answers])
                admitted[name] = admit(self._plan, name, take(rows, inverse), moment)
        return admitted


def _groups(plan: Plan) -> tuple[_KeyGroup, ...]:
    shared: dict[tuple[tuple[str, str, str], ...], list[str]] = {}
    for view in plan.views:
        ranked = tuple(sorted((key.key, key.name, key.dtype) for key in view.join_keys))
        shared.setdefault(ranked, []).append(view.name)
    groups = []
    for join_keys, views in shared.items():
        keys = EntityKeyEncoder(plan.project, [k for k, _, _ in join_keys], [dtype for _, _, dtype in join_keys])
        fields = tuple(plan.view(view).stored_as.encode() for view in views)
        groups.append(_KeyGroup(keys, tuple(name for _, name, _ in join_keys), tuple(views), fields))
    return tuple(groups)


def take(rows: EntityRows, places: NDArray[np.intp]) -> EntityRows:
    """The rows at `places`, in that order."""
    columns = tuple(ColumnValues(column.data[places], column.valid[places]) for column in rows.columns)
    return EntityRows(rows.event[places], rows.created[places], rows.deleted[places], columns)
