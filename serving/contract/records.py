"""Records: many rows of one shape (a schema for each view), laid end to end and read as one NumPy array."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serving.contract.assembler import Matrix
from serving.contract.freshness import Flags, Micros
from serving.contract.row import FLAGS
from serving.contract.section import HEADER_WIDTH, NO_TEXTS, ORDER_WIDTH, Section

_F4 = np.dtype("<f4")
_SIGN = np.uint64(1 << 63)
Row = Sequence[bytes | None]
Bytes = NDArray[np.uint8]
_ALIVE = np.array([FLAGS.get(flags, 0xFF) for flags in range(256)], np.uint8)
"""By a row's flags those of a living row of its width."""


class Records:
    """A shape compiled: `heads` checks rows and tells what they say of themselves, `matrix` their numbers."""

    def __init__(self, sections: Sequence[Section], width: int) -> None:
        starts = np.cumsum([0, *(section.width for section in sections)]).tolist()
        self._cuts = tuple((section.width, section.absent) for section in sections)
        self._size, self._width = starts[-1], width
        self._compile_values(sections, starts)
        self._compile_heads(sections, starts)

    def _compile_values(self, sections: Sequence[Section], starts: Sequence[int]) -> None:
        places = [
            (column, start + one.offset, one.dtype)
            for section, start in zip(sections, starts, strict=False)
            for one in section.held
            for column in one.columns.tolist()
        ]
        names = [f"c{column}" for column, _, _ in places]
        self._source = _record(names, [dtype for _, _, dtype in places], [at for _, at, _ in places], self._size)
        self._target = _record(names, [_F4.str] * len(names), [4 * c for c, _, _ in places], 4 * self._width)

    def _compile_heads(self, sections: Sequence[Section], starts: Sequence[int]) -> None:
        lengths = [HEADER_WIDTH + section.null_bytes for section in sections]
        inner = np.cumsum([0, *lengths]).tolist()
        names, kinds = [f"h{i}" for i in range(len(lengths))], [f"V{length}" for length in lengths]
        self._heads = _record(names, kinds, starts[:-1], self._size)
        self._plain_heads = _record(names, kinds, inner[:-1], inner[-1])
        begins = np.array(inner[:-1], np.intp)
        self._orders = (begins[:, None] + np.arange(ORDER_WIDTH)).reshape(-1)
        self._schemas = (begins[:, None] + np.arange(ORDER_WIDTH, HEADER_WIDTH - 1)).reshape(-1)
        self._flags = begins + HEADER_WIDTH - 1
        self._alive = np.array([section.flags for section in sections], np.uint8)
        self._expected = np.frombuffer(b"".join(section.fingerprint for section in sections), np.uint8)
        self._nulls = np.concatenate([np.arange(b + HEADER_WIDTH, e) for b, e in zip(begins, inner[1:], strict=True)])
        bits = np.cumsum([0, *(8 * section.null_bytes for section in sections)]).tolist()
        held = [(c, b + o.bit) for s, b in zip(sections, bits, strict=False) for o in s.held for c in o.columns]
        self._held = np.array([column for column, _ in held], np.intp)
        self._bits = np.array([bit for _, bit in held], np.intp)
        texts = [i for i, section in enumerate(sections) if section.end_offset != NO_TEXTS]
        names, kinds = [f"t{i}" for i in texts], ["V4"] * len(texts)
        self._texts = np.array(texts, np.intp)
        self._ends = _record(names, kinds, [starts[i] + sections[i].end_offset for i in texts], self._size)
        self._plain_ends = _record(names, kinds, None, None)
        self._widths = np.array([section.width for section in sections], np.int64)

    def join(self, rows: Sequence[Row]) -> bytes | None:
        """The rows end to end without their texts; None where one is too short."""
        cuts = self._cuts
        parts = [d[:w] if d is not None else a for row in rows for d, (w, a) in zip(row, cuts, strict=True)]
        joined = b"".join(parts)
        return joined if len(joined) == len(rows) * self._size else None

    def heads(self, joined: bytes, rows: Sequence[Row]) -> Bytes | None:
        """The heads of n rows; None where a schema, a flag or a length is not as expected."""
        n = len(rows)
        heads = np.frombuffer(joined, self._heads).astype(self._plain_heads).view(np.uint8).reshape(n, -1)
        if (heads[:, self._schemas] != self._expected).any() or (_ALIVE[heads[:, self._flags]] != self._alive).any():
            return None
        cuts = self._cuts
        lengths = [len(d) if d is not None else w for row in rows for d, (w, _) in zip(row, cuts, strict=True)]
        beyond = np.array(lengths, np.int64).reshape(n, -1) - self._widths
        if len(self._texts):
            ends = np.frombuffer(joined, self._ends).astype(self._plain_ends).view("<u4").reshape(n, -1)
            beyond[:, self._texts] -= ends
        return None if beyond.any() else heads

    def times(self, heads: Bytes) -> tuple[bytes, Micros, Micros, Flags]:
        """Order bytes, event and created times, and tombstones: n x views."""
        orders = heads[:, self._orders].tobytes()
        times = (np.frombuffer(orders, ">u8").astype("<u8") ^ _SIGN).view(np.int64).reshape(len(heads), -1, 2)
        return orders, times[:, :, 0], times[:, :, 1], (heads[:, self._flags] & 1).astype(bool)

    def matrix(self, joined: bytes) -> Matrix:
        """The stored columns of n rows, whatever nulls hold; the others hold nothing yet."""
        records = np.frombuffer(joined, self._source)
        if not len(self._held):
            return np.zeros((len(records), self._width), _F4)
        with np.errstate(over="ignore", invalid="ignore"):  # a float64 beyond float32 is its infinity
            return records.astype(self._target).view(_F4).reshape(len(records), self._width)

    def nulls(self, heads: Bytes) -> Flags | None:
        """Which columns are null, n x columns; None where none is."""
        packed = np.ascontiguousarray(heads[:, self._nulls])
        if not packed.any():
            return None
        found = np.zeros((len(heads), self._width), bool)
        found[:, self._held] = np.unpackbits(packed, axis=1, bitorder="little")[:, self._bits]
        return found


def _record(names: Sequence[str], kinds: Sequence[str], offsets: Sequence[int] | None, size: int | None) -> np.dtype:
    """A record dtype; without offsets, its fields lie side by side."""
    given: Any = list(zip(names, kinds, strict=True))
    if offsets is not None:
        given = {"names": names, "formats": kinds, "offsets": offsets, "itemsize": size}
    found: np.dtype = np.dtype(given)
    return found
