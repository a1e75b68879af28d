"""Times inside Skewless are UTC microseconds: one int64 since 1970-01-01 UTC, exact and ordered like the times.

Every conversion is here: from and to `datetime` and `timedelta`, RFC 3339 (in requests and answers), Arrow, NumPy,
nanoseconds, and days.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

UtcMicros = int
UtcMicrosArray = NDArray[np.int64]
Instant = UtcMicrosArray | np.int64
_Nanoseconds = TypeVar("_Nanoseconds", int, NDArray[np.int64])
Clock = Callable[[], UtcMicros]
"""Returns the present time; passed as an argument, so that tests can set it."""

UTC_TIMESTAMP = pa.timestamp("us", tz="UTC")
"""Their type in Arrow."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
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
    seconds, rest = divmod(micros, SECOND_US)
    return f"{_second_text(seconds)}.{rest:06d}Z" if rest else f"{_second_text(seconds)}Z"


@lru_cache(maxsize=16)
def _second_text(seconds: int) -> str:
    return str(np.datetime64(seconds, "s"))


def rfc3339_texts(times: UtcMicrosArray) -> list[str]:
    """`rfc3339_text` of each."""
    return [text.removesuffix(".000000") + "Z" for text in np.datetime_as_string(times.view("M8[us]")).tolist()]


def day_text(day: int) -> str:
    """The date of a day since 1970-01-01, which is `micros // DAY_US`."""
    return str(np.datetime64(day, "D"))


def timestamp_array(times: UtcMicrosArray, *, null: NDArray[np.bool_] | None = None) -> pa.Array:
    """Times in Arrow, null where `null` is set."""
    return pa.array(times, mask=null).cast(UTC_TIMESTAMP)


def timestamp_scalar(micros: UtcMicros, tz: str | None = "UTC") -> pa.Scalar:
    """A time to compare a column of microseconds with, whose zone is `tz` (None: naive, which is UTC)."""
    return pa.scalar(micros).cast(pa.timestamp("us", tz=tz))


def date_array(times: UtcMicrosArray) -> pa.Array:
    """The UTC date of each time, in Arrow."""
    return pa.array(times).cast(pa.timestamp("us")).cast(pa.date32(), safe=False)
