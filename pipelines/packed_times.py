"""The times of a packed row, without its values."""

from __future__ import annotations

import struct

_ORDER = struct.Struct(">QQ")
_BIAS = 1 << 63
_HEADER = 21


def times(row: bytes) -> tuple[int, int] | None:
    """Event and created time in microseconds; None for what is too short to be a row."""
    if len(row) < _HEADER:
        return None
    event, created = _ORDER.unpack_from(row)
    return event - _BIAS, created - _BIAS
