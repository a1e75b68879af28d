"""The unpacker: rows of one shape (a section for each view) read one at a time with `struct`, without NumPy.

What `Records` and the admission rule make of a few rows, for less than their calls cost.

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
"""By dtype how a value is taken out of a row: a float32 as it lies there, since a Python float may change a NaN."""
_EXACT = 1 << 53
"""Integers up to here are floats, so that they are rounded once on their way to float32."""
_WIDTH = 4
_MOST_HEADS = 1_024


Head = tuple[bool, tuple[int, ...]]
"""What a row's form and nulls say: whether it is a tombstone, and which slots are empty."""


class _ByteRange(NamedTuple):
    """Bytes of a row that are one value when it is unpacked."""

    begin: int
    size: int
    format: str


class _RowHead(NamedTuple):
    """One view: where its head and the end of its texts (None: it has none) are among the unpacked values.

    `heads` are those that were met.
    """

    head: int
    end: int | None
    width: int
    section: RowSection
    heads: dict[bytes, Head]


class RowUnpacker:
    """Compiled from a shape, and from the rule of each view. Its slots are the model's columns."""

    def __init__(
        self, sections: Sequence[RowSection], rules: Sequence[AdmissionRule], defaults: NDArray[np.float32]
    ) -> None:
        starts = [0, *accumulate(section.width for section in sections)]
        self._join = struct.Struct("".join(f"{section.width}s" for section in sections)).pack
        self._absent = tuple(section.absent for section in sections)
        self._defaults = [one.tobytes() for one in defaults]
        self._lacking = tuple(slot for section in sections for slot in section.lacking)
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
        self._fresh = bytes(len(sections))
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
        """Put the model's input into `matrix` at `begin`. The answer is a `Status` and 16 order bytes for each view;
        None where the row is of another shape, of a length that cannot be, or has a number that Python would round.
        """
        try:
            joined = self._join(*row)
        except struct.error:  # a row that is not there
            row = [a if d is None else d for d, a in zip(row, self._absent, strict=True)]
            joined = self._join(*row)
        values = self._unpack(joined)
        blank, gone = [*self._lacking], []
        for data, view in zip(row, self._views, strict=True):
            head, end, width, section, heads = view
            if len(data) != (width if end is None else width + values[end]):  # type: ignore[arg-type]
                return None
            found = heads.get(values[head]) or _met(values[head], section, heads)
            if found is None:
                return None
            deleted, empty = found
            blank += empty
            gone.append(deleted)
        orders = b"".join([values[place] for place in self._orders])
        statuses = self._statuses(orders, gone, at)
        if statuses != self._fresh:
            for status, view in zip(statuses, self._views, strict=True):
                blank += [one.slot for one in view.section.held] if status else ()
        return (statuses, orders) if self._put(values, blank, matrix, begin) else None

    def _statuses(self, orders: bytes, gone: Sequence[bool], at: UtcMicros) -> bytes:
        """What the rules say of each view; at once where even the latest row and the oldest count."""
        times = self._times(orders)
        event, created = times[::2], times[1::2]
        if self._alike:
            code, known, deleted = self._rules[0].code, max(created) - BIAS, any(gone)
            if not code(max(event) - BIAS, known, deleted, at) and not code(min(event) - BIAS, known, deleted, at):
                return self._fresh
        told = zip(self._rules, event, created, gone, strict=True)
        return bytes([rule.code(e - BIAS, c - BIAS, deleted, at) for rule, e, c, deleted in told])

    def _put(self, values: Sequence[Any], blank: Sequence[int], matrix: bytearray, begin: int) -> bool:
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


def _met(head: bytes, section: RowSection, heads: dict[bytes, Head]) -> Head | None:
    """What a head that is new says; None where its form is another than the section's."""
    form = head[:FORM_WIDTH]
    if living(form) != section.form:
        return None
    if len(heads) >= _MOST_HEADS:
        heads.clear()
    nulls = int.from_bytes(head[FORM_WIDTH:], "little")
    found = heads[head] = bool(form[-1] & DELETED), tuple(one.slot for one in section.held if nulls >> one.bit & 1)
    return found


def _heads(sections: Sequence[RowSection], starts: Sequence[int]) -> list[_ByteRange]:
    """The order, the form with the nulls, and the end of the texts of each view."""
    found = []
    for section, start in zip(sections, starts, strict=False):
        length = FORM_WIDTH + section.null_bytes
        found.append(_ByteRange(start, ORDER_WIDTH, f"{ORDER_WIDTH}s"))
        found.append(_ByteRange(start + ORDER_WIDTH, length, f"{length}s"))
        if section.end_offset != NO_TEXTS:
            found.append(_ByteRange(start + section.end_offset, 4, "I"))
    return found


def _columns(sections: Sequence[RowSection], starts: Sequence[int], width: int) -> list[_ByteRange | None]:
    """What fills the columns, in order; None is a column that nothing fills. Float32s side by side are one piece."""
    lies = {
        one.slot: (start + one.offset, one.dtype)
        for section, start in zip(sections, starts, strict=False)
        for one in section.held
    }
    times = Counter(lies.values())
    found: list[_ByteRange | None] = []
    for slot in range(width):
        begin, dtype = lies.get(slot, (0, ""))
        last = found[-1] if found else None
        if not dtype:
            found.append(None)
        elif (
            dtype == "<f4"
            and last is not None
            and last.format.endswith("s")
            and last.begin + last.size == begin
            and times[begin, dtype] == 1 == times[begin - _WIDTH, dtype]
        ):
            found[-1] = _ByteRange(last.begin, last.size + _WIDTH, f"{last.size + _WIDTH}s")
        else:
            found.append(_ByteRange(begin, struct.calcsize("<" + _FORMATS[dtype]), _FORMATS[dtype]))
    return found


def _padded(pieces: Sequence[_ByteRange], size: int) -> list[str]:
    """The pieces of `size` bytes, and the gaps between them."""
    found, at = [], 0
    for piece in pieces:
        found.append(f"{piece.begin - at}x{piece.format}")
        at = piece.begin + piece.size
    return [*found, f"{size - at}x"]


def _packed(piece: _ByteRange | None) -> str:
    """How a piece is written as columns."""
    if piece is None:
        return f"{_WIDTH}x"
    return piece.format if piece.format.endswith("s") else "f"
