"""Durations as text: a number with a unit, as 90s, 15m, 1.5h or 7d."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta

from skewless.contract.errors import SkewlessError

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


_DURATION = re.compile(r"(\d+(?:\.\d+)?)([smhd])")


@dataclass(eq=False)
class BadDuration(SkewlessError):
    """A text that is not a duration."""

    text: str

    def __str__(self) -> str:
        return f"{self.text!r} is not a duration; write a number with s, m, h or d, as 90d"


def short(time: timedelta) -> str:
    """A duration as text, in the largest unit that gives a whole number: 15m, 6h."""
    for unit, name in reversed(_UNITS.items()):
        quotient, rest = divmod(time, timedelta(**{name: 1}))
        if not rest and (quotient or unit == "s"):
            return f"{quotient}{unit}"
    return f"{time / timedelta(seconds=1):g}s"


def duration(text: str) -> timedelta:
    """A number with a unit: 90s, 15m, 1.5h, 7d. Raises: BadDuration."""
    match = _DURATION.fullmatch(text.strip())
    if not match:
        raise BadDuration(text)
    return timedelta(**{_UNITS[match[2]]: float(match[1])})
