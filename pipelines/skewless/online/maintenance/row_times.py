"""The times of packed rows, without their values."""

from __future__ import annotations

import struct

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from skewless.contract.admission import Micros

_ORDER = struct.Struct(">QQ")
_BIAS = 1 << 63
_HEADER = 21


def times(row: bytes) -> tuple[int, int] | None:
    """Event and created time in microseconds; None for what is too short to be a row."""
    if len(row) < _HEADER:
        return None
    event, created = _ORDER.unpack_from(row)
    return event - _BIAS, created - _BIAS


def event_times(rows: pa.BinaryArray) -> Micros:
    """Event times in microseconds of rows that are whole and not null."""
    return (biased_times(rows)[0] ^ np.uint64(_BIAS)).view(np.int64)


def biased_times(rows: pa.BinaryArray) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Event and created times as rows have them, biased so that they order as the times do."""
    _, offsets, data = rows.buffers()
    starts = np.frombuffer(offsets, np.int32, len(rows) + 1, rows.offset * 4)[:-1]
    raw = np.frombuffer(data, np.uint8)[starts[:, None] + np.arange(_ORDER.size)]
    both = np.ascontiguousarray(raw).view(">u8").astype(np.uint64)
    return both[:, 0], both[:, 1]


def whole(rows: pa.BinaryArray) -> pa.BooleanArray:
    """Which of these are rows, and neither null nor too short."""
    return pc.fill_null(pc.greater_equal(pc.binary_length(rows), _HEADER), fill_value=False)
