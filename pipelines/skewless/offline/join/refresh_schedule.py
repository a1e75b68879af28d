"""A schedule of materialization, and what an online store on it holds at a time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from skewless.contract.errors import SkewlessError
from skewless.contract.timestamp_arrays import UtcMicrosArray
from skewless.contract.timestamps import duration_micros
from skewless.runtime.durations import BadDuration, duration, short


@dataclass(eq=False)
class BadSchedule(SkewlessError):
    """A schedule that cannot be understood."""

    text: str

    def __str__(self) -> str:
        return f"{self.text!r} is no schedule; write every=1h,delay=5m (numbers with s, m, h or d; every more than 0)"


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

    def filled(self, at: UtcMicrosArray) -> UtcMicrosArray:
        """Up to which arrival (included) the store was filled at each of n instants: never later than the instant."""
        shift, every = duration_micros(self.offset + self.delay), duration_micros(self.every)
        filled: UtcMicrosArray = at - (at - shift) % every - duration_micros(self.delay)
        return filled

    def __str__(self) -> str:
        return f"every={short(self.every)},delay={short(self.delay)}"
