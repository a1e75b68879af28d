"""Rows as Feast's own online stores hold them, whatever the store, and their entity keys."""

from __future__ import annotations

import struct
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from skewless.contract.errors import SkewlessError
from skewless.contract.plan import DUMMY_ENTITY
from skewless.contract.storage.entity_key import KeyValue, ParsedEntityKey, parse_key
from skewless.contract.timestamps import UtcMicros

FeastViews = Mapping[str, Sequence[str]]
"""The features of each view, by the name that Feast stores it under."""
_STRING = 2
_NUMBERS = {3: "<i", 4: "<q", 8: "<q"}
"""How the types of Feast's keys that are numbers are written: Int32, Int64, UnixTimestamp."""


@dataclass(eq=False)
class FormerStoreUnreachable(SkewlessError):
    """Feast's online store cannot be read or changed; `place` without secrets."""

    transient = True

    place: str
    reason: str

    def __str__(self) -> str:
        return (
            f"Feast's online store at {self.place} cannot be used: {self.reason}; mend that, or give another `store`, then run "
            "this again: what was imported stays"
        )


class FormerRow(NamedTuple):
    """What Feast's store holds of an entity in a feature view.

    `place` is where, in the store's own terms. `key` is None where it does not parse. `event` is None where the row has no
    event time that can be read, and `stamp` that time as it is stored, by which a row that was written since is told apart.
    `values` are serialized messages of Feast by feature; a feature that the row lacks is null.
    """

    view: str
    place: bytes
    key: ParsedEntityKey | None
    event: UtcMicros | None
    stamp: bytes
    values: Mapping[str, bytes]


class RowMark(NamedTuple):
    """A row that may be removed, if its time is still that one."""

    place: bytes
    stamp: bytes


class FeastOnlineRows(Protocol):
    """The rows of a project in an online store of Feast's. Every method may raise FormerStoreUnreachable."""

    def size(self) -> int:
        """About how many entities there are."""

    def batches(self) -> Iterator[list[FormerRow]]:
        """All rows, those of unknown feature views too; a row may come again."""

    def remove(self, view: str, rows: Sequence[RowMark]) -> int:
        """Remove rows of a view that were not written since; how many were removed."""


class FeastKeyParser:
    """Parses entity keys of the serialization versions 2 and 3, followed by the project's name.

    Version 2 has no lengths of the join keys' names, so they must be known.
    """

    def __init__(self, join_keys: Collection[tuple[str, ...]]) -> None:
        named = {tuple(sorted(names or DUMMY_ENTITY[:1])) for names in join_keys}
        # The longest first: one name may be the beginning of another.
        self._heads = sorted(((_head(names), names) for names in named), key=lambda pair: len(pair[0]), reverse=True)

    def parse(self, key: bytes) -> ParsedEntityKey | None:
        """None where the bytes are no key."""
        parsed = parse_key(key)
        if parsed is not None and parsed.names:
            return parsed
        for head, names in self._heads:
            if key.startswith(head):
                try:
                    return _values(key, len(head), names)
                except (struct.error, UnicodeDecodeError, KeyError):
                    continue
        return None


def _head(names: Sequence[str]) -> bytes:
    return b"".join(struct.pack("<I", _STRING) + name.encode() for name in names)


def _values(key: bytes, place: int, names: tuple[str, ...]) -> ParsedEntityKey:
    values: list[KeyValue] = []
    for _ in names:
        kind, length = struct.unpack_from("<II", key, place)
        data, place = key[place + 8 : place + 8 + length], place + 8 + length
        if kind == _STRING:
            values.append(data.decode())
        elif kind == 1:
            values.append(data)
        else:
            values.append(int(struct.unpack(_NUMBERS[kind], data)[0]))
    if place > len(key):
        raise struct.error
    return ParsedEntityKey(names, tuple(values), key[place:].decode())


OpenRows = Callable[[FeastViews, FeastKeyParser], FeastOnlineRows]
"""Opens the rows of these views."""
