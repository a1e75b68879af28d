"""Unpacks rows of one shape (a section for each view) one at a time with `struct`, without NumPy.

It gives the results of `BatchUnpacker` and the admission rule; for a few rows it is faster than NumPy's calls.

Held by tests/server/decode/test_decoder.py.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from skewless.contract.admission import AdmissionRule
from skewless.contract.storage.row_header import BIAS, DELETED, FORM_WIDTH, ORDER_WIDTH, living, order_struct
from skewless.contract.timestamps import UtcMicros
from skewless.server.decode.batch_unpacker import Row
from skewless.server.decode.row_layout import NO_TEXTS, RowSection

_FORMATS = {"<f4": "4s", "<f8": "d", "<i4": "i", "<i8": "q", "|b1": "?"}
"""The `struct` format by dtype: a float32 as raw bytes, since a Python float may change a NaN's payload."""
_EXACT = 1 << 53
"""Integers up to here are exact as floats, so that they are rounded once on their way to float32."""
_WIDTH = 4
_MOST_HEADS = 1_024


Head = tuple[bool, tuple[int, ...]]
"""A parsed form with its null bits: whether the row is a tombstone, and which slots are null."""


class _ByteRange(NamedTuple):
    """A range of a row's bytes that is unpacked as one value."""

    begin: int
    size: int
    format: str


class _RowHead(NamedTuple):
    """One view: the indices of its head and of its texts' end (None: no texts) among the unpacked values.

    `heads` caches parsed heads.
    """

    head: int
    end: int | None
    width: int
    section: RowSection
    heads: dict[bytes, Head]


class RowUnpacker:
    """Compiled from a shape and the admission rule of each view. Its slots are the model's columns."""

    def __init__(
        self, sections: Sequence[RowSection], rules: Sequence[AdmissionRule], defaults: NDArray[np.float32]
    ) -> None:
        starts = [0, *accumulate(section.width for section in sections)]
        self._join = struct.Struct("".join(f"{section.width}s" for section in sections)).pack
        self._absent = tuple(section.absent for section in sections)
        self._defaults = [default.tobytes() for default in defaults]
        self._missing = tuple(slot for section in sections for slot in section.missing)
        columns = _columns(sections, starts, len(defaults))
        pieces = sorted({*_heads(sections, starts), *(piece for piece in columns if piece is not None)})
        places = {piece.begin: place for place, piece in enumerate(pieces)}
        self._unpack = struct.Struct("<" + "".join(_padded(pieces, starts[-1]))).unpack
        self._picked = tuple(places[piece.begin] for piece in columns if piece is not None)
        self._wide = tuple(place for place, piece in enumerate(pieces) if piece.format == "q")
        self._pack_into = struct.Struct("<" + "".join(map(_packed, columns))).pack_into
        self._orders = tuple(places[start] for start in starts[:-1])
        self._times = order_struct(len(sections)).unpack
        self._rules, self._alike = tuple(rules), len(set(rules)) == 1
        self._all_present = bytes(len(sections))
        self._views = tuple(
            _RowHead(
                head=places[start + ORDER_WIDTH],
                end=None if section.end_offset == NO_TEXTS else places[start + section.end_offset],
                width=section.width,
                section=section,
                heads={},
            )
            for section, start in zip(sections, starts, strict=False)
        )

    def read(self, row: Row, at: UtcMicros, matrix: bytearray, begin: int) -> tuple[bytes, bytes] | None:
        """Write the model's input into `matrix` at `begin`. Returns a `FeatureStatus` and 16 order bytes for each view;
        None where the row has another shape, a wrong length, or a number that Python would round.
        """
        try:
            joined = self._join(*row)
        except struct.error:  # a row is missing (None)
            row = [a if d is None else d for d, a in zip(row, self._absent, strict=True)]
            joined = self._join(*row)
        values = self._unpack(joined)
        blank, deleted_views = [*self._missing], []
        for data, view in zip(row, self._views, strict=True):
            head, end, width, section, heads = view
            if len(data) != (width if end is None else width + values[end]):  # type: ignore[arg-type]
                return None
            parsed = heads.get(values[head]) or _parse_head(values[head], section, heads)
            if parsed is None:
                return None
            deleted, empty = parsed
            blank += empty
            deleted_views.append(deleted)
        orders = b"".join([values[place] for place in self._orders])
        statuses = self._statuses(orders, deleted_views, at)
        if statuses != self._all_present:
            for status, view in zip(statuses, self._views, strict=True):
                blank += [field.slot for field in view.section.stored] if status else ()
        return (statuses, orders) if self._write_columns(values, blank, matrix, begin) else None

    def _statuses(self, orders: bytes, deleted_views: Sequence[bool], at: UtcMicros) -> bytes:
        """The admission status of each view; one check for all where the latest and the oldest row are both admitted."""
        times = self._times(orders)
        event, created = times[::2], times[1::2]
        if self._alike:
            code, known, deleted = self._rules[0].code, max(created) - BIAS, any(deleted_views)
            if not code(max(event) - BIAS, known, deleted, at) and not code(min(event) - BIAS, known, deleted, at):
                return self._all_present
        views = zip(self._rules, event, created, deleted_views, strict=True)
        return bytes([rule.code(e - BIAS, c - BIAS, deleted, at) for rule, e, c, deleted in views])

    def _write_columns(self, values: Sequence[Any], blank: Sequence[int], matrix: bytearray, begin: int) -> bool:
        """Write the columns; False where a number is beyond float32, or an integer not exact as a float."""
        for place in self._wide:
            if not -_EXACT <= values[place] <= _EXACT:
                return False
        try:
            self._pack_into(matrix, begin, *[values[place] for place in self._picked])
        except OverflowError:
            return False
        for slot in blank:
            at = begin + _WIDTH * slot
            matrix[at : at + _WIDTH] = self._defaults[slot]
        return True


def _parse_head(head: bytes, section: RowSection, heads: dict[bytes, Head]) -> Head | None:
    """Parse a head and cache it; None where its form is not the section's."""
    form = head[:FORM_WIDTH]
    if living(form) != section.form:
        return None
    if len(heads) >= _MOST_HEADS:
        heads.clear()
    nulls = int.from_bytes(head[FORM_WIDTH:], "little")
    heads[head] = bool(form[-1] & DELETED), tuple(f.slot for f in section.stored if nulls >> f.bit & 1)
    return heads[head]


def _heads(sections: Sequence[RowSection], starts: Sequence[int]) -> list[_ByteRange]:
    """The order, the form with the nulls, and the end of the texts of each view."""
    pieces = []
    for section, start in zip(sections, starts, strict=False):
        length = FORM_WIDTH + section.null_bytes
        pieces.append(_ByteRange(start, ORDER_WIDTH, f"{ORDER_WIDTH}s"))
        pieces.append(_ByteRange(start + ORDER_WIDTH, length, f"{length}s"))
        if section.end_offset != NO_TEXTS:
            pieces.append(_ByteRange(start + section.end_offset, 4, "I"))
    return pieces


def _columns(sections: Sequence[RowSection], starts: Sequence[int], width: int) -> list[_ByteRange | None]:
    """The byte ranges that fill the columns, in order; None for an unfilled column. Adjacent float32s are one range."""
    positions = {
        field.slot: (start + field.offset, field.dtype)
        for section, start in zip(sections, starts, strict=False)
        for field in section.stored
    }
    times = Counter(positions.values())
    pieces: list[_ByteRange | None] = []
    for slot in range(width):
        begin, dtype = positions.get(slot, (0, ""))
        last = pieces[-1] if pieces else None
        if not dtype:
            pieces.append(None)
        elif (
            dtype == "<f4"
            and last is not None
            and last.format.endswith("s")
            and last.begin + last.size == begin
            and times[begin, dtype] == 1 == times[begin - _WIDTH, dtype]
        ):
            pieces[-1] = _ByteRange(last.begin, last.size + _WIDTH, f"{last.size + _WIDTH}s")
        else:
            pieces.append(_ByteRange(begin, struct.calcsize("<" + _FORMATS[dtype]), _FORMATS[dtype]))
    return pieces


def _padded(pieces: Sequence[_ByteRange], size: int) -> list[str]:
    """The `struct` formats of the pieces and of the gaps between them, `size` bytes in all."""
    formats, at = [], 0
    for piece in pieces:
        formats.append(f"{piece.begin - at}x{piece.format}")
        at = piece.begin + piece.size
    return [*formats, f"{size - at}x"]


def _packed(piece: _ByteRange | None) -> str:
    """The `struct` format that writes a piece as columns."""
    if piece is None:
        return f"{_WIDTH}x"
    return piece.format if piece.format.endswith("s") else "f"
