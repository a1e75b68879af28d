"""Many rows of one shape (a section for each view), laid end to end and read as one NumPy array of records.

Held by tests/server/decode/test_decoder.py.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, starmap

import numpy as np
from numpy.typing import NDArray

from skewless.contract.columns import Flags
from skewless.contract.storage.row_header import (
    FORM_WIDTH,
    HEADER_WIDTH,
    LIVING_FLAGS,
    ORDER_WIDTH,
    times_in_orders,
    tombstones,
)
from skewless.contract.timestamp_arrays import UtcMicrosArray
from skewless.server.decode.row_layout import NO_TEXTS, RowSection

Row = Sequence[bytes | None]
Bytes = NDArray[np.uint8]
Part = tuple[str, str, int, int]
"""A name, the dtype in a row, its offset in the row, and its offset in the decoded record."""


@dataclass(frozen=True, slots=True)
class DecodeSlots:
    """Layout of decoded values: for each slot a dtype (f4 or f8) and an offset in the `width` bytes of a row's values."""

    dtypes: tuple[np.dtype, ...]
    offsets: tuple[int, ...]
    width: int


@dataclass(frozen=True, slots=True)
class DecodedRows:
    """n decoded rows, before the admission rule.

    `orders`: n x views x 16 bytes; `deleted`: n x views; `blank`: n x slots, which are null (None: none is);
    `values`: n x the slots' width in bytes, meaningless where blank.
    """

    orders: Bytes
    deleted: Flags
    blank: Flags | None
    values: Bytes

    def times(self) -> tuple[UtcMicrosArray, UtcMicrosArray]:
        """Event and created times, n x views."""
        n, views = self.deleted.shape
        times = times_in_orders(self.orders).reshape(n, views, 2)
        return times[:, :, 0], times[:, :, 1]

    def replace_view(
        self, places: Sequence[int], view: int, slots: Sequence[int], part: DecodedRows, where: DecodeSlots
    ) -> None:
        """Replace the values of one view (its `slots`) in some rows by `part`, which was read separately."""
        at = np.array(places, np.intp)
        self.orders[at, view * ORDER_WIDTH : (view + 1) * ORDER_WIDTH] = part.orders
        self.deleted[at, view] = part.deleted[:, 0]
        for slot in slots:
            begin, size = where.offsets[slot], where.dtypes[slot].itemsize
            self.values[at, begin : begin + size] = part.values[:, begin : begin + size]
            if self.blank is not None:
                self.blank[at, slot] = part.blank[:, slot] if part.blank is not None else False


class BatchUnpacker:
    """Decodes rows of one shape. One structured `astype` copies all values out of the rows' bytes."""

    def __init__(self, sections: Sequence[RowSection], slots: DecodeSlots) -> None:
        starts = np.cumsum([0, *(section.width for section in sections)]).tolist()
        # `pack` cuts longer rows and pads shorter ones; `_lengths_match` refuses both afterwards.
        self._pack = struct.Struct("".join(f"{section.width}s" for section in sections)).pack
        self._absent = tuple(section.absent for section in sections)
        self._size, self._views = starts[-1], len(sections)
        self._widths = np.array([section.width for section in sections], np.int64)
        self._forms = np.frombuffer(b"".join(section.form for section in sections), np.uint8)
        self._slots = len(slots.dtypes)
        parts = self._heads(sections, starts)
        stored = [(field, start) for section, start in zip(sections, starts, strict=False) for field in section.stored]
        target = {field.slot: self._values + slots.offsets[field.slot] for field, _ in stored}
        parts += [(f"s{field.slot}", field.dtype, start + field.offset, target[field.slot]) for field, start in stored]
        kinds = {f"s{field.slot}": slots.dtypes[field.slot].str for field, _ in stored}
        names = [name for name, _, _, _ in parts]
        source = {"names": names, "formats": [p[1] for p in parts], "offsets": [p[2] for p in parts]}
        decoded = {"names": names, "formats": [kinds.get(p[0], p[1]) for p in parts], "offsets": [p[3] for p in parts]}
        self._source = np.dtype({**source, "itemsize": self._size})  # type: ignore[call-overload]
        self._target = np.dtype({**decoded, "itemsize": self._values + slots.width})  # type: ignore[call-overload]
        self._compile_nulls(sections)

    def _heads(self, sections: Sequence[RowSection], starts: Sequence[int]) -> list[Part]:
        """Orders, forms, nulls and text ends, each kind contiguous; the values follow them."""
        parts: list[Part] = []
        at = 0
        for name, begin, widths in (
            ("order", 0, [ORDER_WIDTH] * len(sections)),
            ("form", ORDER_WIDTH, [FORM_WIDTH] * len(sections)),
            ("nulls", HEADER_WIDTH, [section.null_bytes for section in sections]),
        ):
            for place, (start, width) in enumerate(zip(starts, widths, strict=False)):
                parts.append((f"{name}{place}", f"V{width}", start + begin, at))
                at += width
        self._nulls_end = at
        self._texts = [place for place, section in enumerate(sections) if section.end_offset != NO_TEXTS]
        self._ends = at = -(-at // 8) * 8
        for place in self._texts:
            parts.append((f"end{place}", "V4", starts[place] + sections[place].end_offset, at))
            at += 4
        self._values = -(-at // 8) * 8
        return parts

    def _compile_nulls(self, sections: Sequence[RowSection]) -> None:
        bits = np.cumsum([0, *(8 * section.null_bytes for section in sections)]).tolist()
        stored = [(field.slot, bit + field.bit) for s, bit in zip(sections, bits, strict=False) for field in s.stored]
        self._stored_slots = np.array([slot for slot, _ in stored], np.intp)
        self._stored_bits = np.array([bit for _, bit in stored], np.intp)
        self._missing = np.array([slot for section in sections for slot in section.missing], np.intp)

    def read(self, rows: Sequence[Row]) -> DecodedRows | None:
        """Decode n >= 1 rows; None where one has another shape or a wrong length."""
        n = len(rows)
        try:
            joined = b"".join(starmap(self._pack, rows))
        except struct.error:  # a row is missing (None)
            rows = [[a if d is None else d for d, a in zip(row, self._absent, strict=True)] for row in rows]
            joined = b"".join(starmap(self._pack, rows))
        with np.errstate(over="ignore", invalid="ignore"):  # a float64 beyond float32 is its infinity
            read = np.frombuffer(joined, self._source).astype(self._target).view(np.uint8).reshape(n, -1)
        begin = self._views * ORDER_WIDTH
        end = begin + self._views * FORM_WIDTH
        forms = read[:, begin:end]
        deleted = self._deleted(forms)
        if deleted is None or not self._lengths_match(rows, read):
            return None
        return DecodedRows(
            orders=np.ascontiguousarray(read[:, :begin]),
            deleted=deleted,
            blank=self._blank(read[:, end : self._nulls_end]),
            values=read[:, self._values :],
        )

    def _deleted(self, forms: Bytes) -> Flags | None:
        """Which rows are tombstones; None where a row has another form than its section."""
        if (forms == self._forms).all():
            return np.zeros((len(forms), self._views), bool)
        flags = forms[:, FORM_WIDTH - 1 :: FORM_WIDTH]
        living = forms.copy()
        living[:, FORM_WIDTH - 1 :: FORM_WIDTH] = LIVING_FLAGS[flags]
        return tombstones(flags) if (living == self._forms).all() else None

    def _lengths_match(self, rows: Sequence[Row], read: Bytes) -> bool:
        """Whether each row is as long as its section and its texts."""
        lengths = np.fromiter(map(len, chain.from_iterable(rows)), np.int64, len(rows) * self._views)  # type: ignore[arg-type]
        beyond = lengths.reshape(len(rows), -1) - self._widths
        if self._texts:
            beyond[:, self._texts] -= read[:, self._ends : self._ends + 4 * len(self._texts)].view("<u4")
        return not beyond.any()

    def _blank(self, nulls: Bytes) -> Flags | None:
        if not nulls.any() and not len(self._missing):
            return None
        blank = np.zeros((len(nulls), self._slots), bool)
        blank[:, self._stored_slots] = np.unpackbits(nulls, axis=1, bitorder="little")[:, self._stored_bits]
        blank[:, self._missing] = True
        return blank
