"""The slow definition of a stored value under a declared number type: Python's exact arithmetic, one value at a time."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction

import numpy as np

RANGES = {"Int32": (-(2**31), 2**31 - 1), "Int64": (-(2**63), 2**63 - 1)}
LARGEST = {"Float32": 2**24, "Float64": 2**53}
"""Up to which every whole number is a float."""

Number = int | float | Decimal


class Inexact(Exception):
    """The type does not hold the value."""


def exactly(value: Number | None, dtype: str, *, single: bool = False) -> int | float | bool | None:
    """The value as the type holds it; `single` where it is stored as a float32. Raises: Inexact."""
    if value is None:
        return None
    if dtype in RANGES or dtype == "Bool":
        return _whole(value, dtype, 2**24 if single else 2**53)
    if isinstance(value, float):
        return _nearest(value, dtype)
    if isinstance(value, int):
        if abs(value) > LARGEST[dtype]:
            raise Inexact
        return float(value)
    nearest = _nearest(float(value), dtype)
    if math.isinf(nearest) or Fraction(nearest) != Fraction(value):
        raise Inexact
    return nearest


def _nearest(value: float, dtype: str) -> float:
    """A double may be rounded to the nearest float32, but not to infinity."""
    if dtype == "Float64":
        return value
    with np.errstate(over="ignore"):
        nearest = float(np.float32(value))
    if math.isinf(nearest) != math.isinf(value):
        raise Inexact
    return nearest


def _whole(value: Number, dtype: str, limit: int) -> int | bool | None:
    if isinstance(value, float):
        if math.isnan(value):
            return None
        if math.isinf(value) or abs(value) >= limit:
            raise Inexact
    if Fraction(value).denominator != 1:
        raise Inexact
    low, high = RANGES.get(dtype, (0, 1))
    if not low <= value <= high:
        raise Inexact
    return bool(value) if dtype == "Bool" else int(value)
