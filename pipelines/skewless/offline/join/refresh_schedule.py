"""A schedule of materialization, and what an online store on it holds at a time."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta

from skewless.contract.admission import Micros
from skewless.contract.errors import SkewlessError

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)([smhd])")
_MICROSECOND = timedelta(microseconds=1)


@dataclass(eq=False)
class BadSchedule(SkewlessError):
    """A schedule that cannot be understood."""

    text: str

    def __str__(self) -> str:
        return f"{self.text!r} is no schedule; write every=1h,delay=5m (numbers with s, m, h or d; every more than 0)"


@dataclass(eq=False)
class BadDuration(SkewlessError):
    """A duration that cannot be understood."""

    text: str

    def __str__(self) -> str:
        return f"{self.text!r} is no duration; write a number with s, m, h or d, as 90d"


@dataclass(frozen=True, slots=True)
class RefreshSchedule:
    """A run every `every`, counted from `offset` after 1970-01-01 UTC, takes all arrivals up to its time (included) and
    has finished `delay` later: from that instant on (included) the store holds them.
    """

    every: timedelta
    delay: timedelta = timedelta(0)
    offset: timedelta = timedelta(0)

    @classmethod
    def parse(cls, text: str) -> RefreshSchedule:
        """`every=1h,delay=5m`, or only the duration. Raises: BadSchedule."""
        named = (part if "=" in part else f"every={part}" for part in text.split(","))
        parts = {name: duration for name, _, duration in (part.partition("=") for part in named)}
        if set(parts) - {"every", "delay"} or "every" not in parts:
            raise BadSchedule(text)
        try:
            every, delay = (duration(parts.get(name, "0s")) for name in ("every", "delay"))
        except BadDuration as error:
            raise BadSchedule(text) from error
        if not every:
            raise BadSchedule(text)
        return cls(every, delay)

    def filled(self, at: Micros) -> Micros:
        """Up to which arrival (included) the store was filled at each of n instants: never later than the instant."""
        shift, every = (self.offset + self.delay) // _MICROSECOND, self.every // _MICROSECOND
        filled: Micros = at - (at - shift) % every - self.delay // _MICROSECOND
        return filled

    def __str__(self) -> str:
        return f"every={short(self.every)},delay={short(self.delay)}"


def short(time: timedelta) -> str:
    """A duration in the largest unit that it is a whole number of: 15m, 6h."""
    for unit, name in reversed(_UNITS.items()):
        whole, rest = divmod(time, timedelta(**{name: 1}))
        if not rest and (whole or unit == "s"):
            return f"{whole}{unit}"
    return f"{time / timedelta(seconds=1):g}s"


def duration(text: str) -> timedelta:
    """A number with a unit: 90s, 15m, 1.5h, 7d. Raises: BadDuration."""
    found = _DURATION.fullmatch(text.strip())
    if not found:
        raise BadDuration(text)
    return timedelta(**{_UNITS[found[2]]: float(found[1])})
