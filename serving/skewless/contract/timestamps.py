"""Times inside Skewless are UTC microseconds: one int64 since 1970-01-01 UTC, exact and ordered like the times.

Every conversion of one time is here: from and to `datetime` and `timedelta`, RFC 3339 (in requests and answers),
nanoseconds, and days; those of arrays are in `timestamp_arrays`. This module imports neither NumPy nor Arrow.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

UtcMicros = int
_Nanoseconds = TypeVar("_Nanoseconds", int, "NDArray[np.int64]")
Clock = Callable[[], UtcMicros]
"""Returns the present time; passed as an argument, so that tests can set it."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_DAY = EPOCH.toordinal()
MICROSECOND = timedelta(microseconds=1)
SECOND_US = 1_000_000
DAY_US = 86_400 * SECOND_US
# What `fromisoformat` takes beyond RFC 3339 (weeks, missing parts) is refused; so is more than it can keep.
_RFC_3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)


def midnight(day: date) -> datetime:
    """When a UTC day begins."""
    return datetime.combine(day, time(), UTC)


def to_micros(instant: datetime) -> UtcMicros:
    """An aware time as microseconds. Raises: ValueError for a naive one."""
    if instant.tzinfo is None:
        raise ValueError(f"{instant.isoformat()} has no time zone")
    return duration_micros(instant - EPOCH)


def from_micros(micros: UtcMicros) -> datetime:
    """Microseconds as an aware UTC time."""
    return EPOCH + micros * MICROSECOND


def aware(time: datetime) -> datetime:
    """The time itself; a naive one is UTC."""
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def duration_micros(duration: timedelta) -> int:
    return duration // MICROSECOND


def nanos_to_micros(nanoseconds: _Nanoseconds) -> _Nanoseconds:
    """Nanoseconds since 1970-01-01 UTC, cut to the microsecond at or before them."""
    return nanoseconds // 1_000


def parse_rfc3339(text: str) -> UtcMicros:
    """Parse a time. Raises: ValueError, whose text describes the form."""
    if _RFC_3339.fullmatch(text):
        try:
            return to_micros(datetime.fromisoformat(text.upper()))
        except (ValueError, OverflowError):
            pass
    raise ValueError("must be a time as in RFC 3339 with at most 6 decimals, such as 2013-10-01T12:00:00Z")


@lru_cache(maxsize=16)
def rfc3339_text(micros: UtcMicros) -> str:
    """RFC 3339, UTC, with a Z; with 6 decimals where the seconds are not whole."""
    return from_micros(micros).isoformat().removesuffix("+00:00") + "Z"


def day_text(day: int) -> str:
    """The date of a day since 1970-01-01, which is `micros // DAY_US`."""
    return date.fromordinal(_EPOCH_DAY + day).isoformat()
