"""The header of a packed row: its layout and its flags. Every reader of a header, in Python, NumPy, Arrow or Lua, takes
the numbers from here.

    order    16  event_timestamp, created_timestamp: big-endian microseconds, sign bit flipped (biased), so that bytes
                 compare like times and newest-wins is one memcmp
    schema    4  fingerprint of the feature names and types in order
    flags     1  bits 0 and 7: tombstone (bit 7 ranks it above a living row of the same times; bit 0 alone is what
                 older versions wrote); bit 1: narrow

Schema and flags together are the form: rows of one form have their values at the same places.
"""

from __future__ import annotations

import struct

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from skewless.contract.columns import Flags
from skewless.contract.timestamp_arrays import UtcMicrosArray

ORDER_WIDTH, SCHEMA_WIDTH, FLAGS_WIDTH = 16, 4, 1
FORM_WIDTH = SCHEMA_WIDTH + FLAGS_WIDTH
HEADER_WIDTH = ORDER_WIDTH + FORM_WIDTH

ORDER = slice(ORDER_WIDTH)
FORM = slice(ORDER_WIDTH, HEADER_WIDTH)
SCHEMA = slice(ORDER_WIDTH, ORDER_WIDTH + SCHEMA_WIDTH)
FLAGS = slice(SCHEMA.stop, HEADER_WIDTH)
AFTER_SCHEMA = slice(SCHEMA.stop, None)
"""The flags and all that follows: they decide between rows of one schema with the same times."""

HEADER_FIELDS: tuple[tuple[str, str], ...] = (
    ("event", ">u8"),
    ("created", ">u8"),
    ("schema", f"V{SCHEMA_WIDTH}"),
    ("flags", "u1"),
)
"""The header as the first fields of a NumPy record."""

DELETED = 1
TOMBSTONE = 0x80 | DELETED
NARROW = 2
LIVING = {flags: flags & NARROW for flags in (0, DELETED, TOMBSTONE, NARROW, NARROW | TOMBSTONE)}
"""The flags that a row may have, and those of a living row of the same width."""
UNKNOWN_FLAGS = 0xFF
LIVING_FLAGS = np.array([LIVING.get(flags, UNKNOWN_FLAGS) for flags in range(256)], np.uint8)
"""`LIVING` as an array indexed by flags; UNKNOWN_FLAGS for invalid flags."""

BIAS = 1 << 63
"""Added to a time so that it is not negative; the same as flipping its sign bit."""
_SIGN = np.uint64(BIAS)
NO_ORDER = b"\xff" * ORDER_WIDTH
"""The order of an entity without a row: both times are MISSING."""
_TIMES = struct.Struct(">QQ")

LUA = f"""
local ORDER_WORDS, EVENT_WORDS, HIGH_BIAS = '>{"I4" * (ORDER_WIDTH // 4)}', '>I4I4', {BIAS >> 32}
local SCHEMA_FIRST, SCHEMA_LAST, HEADER_WIDTH = {SCHEMA.start + 1}, {SCHEMA.stop}, {HEADER_WIDTH}
"""
"""The same facts for scripts: places from 1, times as words of 32 bits, since a Lua number holds no 64."""


def biased(times: UtcMicrosArray) -> NDArray[np.uint64]:
    """Times in microseconds as unsigned integers that compare as the times do: an order's numbers, in native byte order."""
    return times.view(np.uint64) ^ _SIGN


def unbiased(order: NDArray[np.uint64]) -> UtcMicrosArray:
    """The times in microseconds of biased ones, of either byte order."""
    return (order.astype(np.uint64) ^ _SIGN).view(np.int64)


def times_in_orders(orders: bytes | NDArray[np.uint8]) -> UtcMicrosArray:
    """Event and created time of each of n orders that lie end to end, n x 2."""
    return unbiased(np.frombuffer(orders, ">u8")).reshape(-1, 2)


def order_struct(rows: int) -> struct.Struct:
    """Unpacks the orders of some rows that lie end to end: each row's event and created time, still biased by BIAS."""
    return struct.Struct(f">{2 * rows}Q")


def times(row: bytes) -> tuple[int, int] | None:
    """Event and created time of a row in microseconds; None for what is too short to be a row."""
    if len(row) < HEADER_WIDTH:
        return None
    event, created = _TIMES.unpack_from(row)
    return event - BIAS, created - BIAS


def event_times(rows: pa.BinaryArray) -> UtcMicrosArray:
    """Event times in microseconds of rows that are whole and not null."""
    return unbiased(biased_times(rows)[0])


def biased_times(rows: pa.BinaryArray) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Event and created times of rows that are whole and not null, biased."""
    _, offsets, data = rows.buffers()
    starts = np.frombuffer(offsets, np.int32, len(rows) + 1, rows.offset * 4)[:-1]
    raw = np.frombuffer(data, np.uint8)[starts[:, None] + np.arange(ORDER_WIDTH)]
    both = np.ascontiguousarray(raw).view(">u8").astype(np.uint64)
    return both[:, 0], both[:, 1]


def whole(rows: pa.BinaryArray) -> pa.BooleanArray:
    """Which of these are rows, and neither null nor too short."""
    return pc.fill_null(pc.greater_equal(pc.binary_length(rows), HEADER_WIDTH), fill_value=False)


def living(form: bytes) -> bytes:
    """The form of a living row of the same schema and width; one with flags that are not known stays as it is."""
    return form[:SCHEMA_WIDTH] + bytes([LIVING.get(flags, flags) for flags in form[SCHEMA_WIDTH:FORM_WIDTH]])


def tombstones(flags: NDArray[np.uint8]) -> Flags:
    """Which rows are tombstones, by their flags."""
    return (flags & DELETED).astype(bool)
