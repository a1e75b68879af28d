"""Arrays of UTC microseconds, in NumPy and in Arrow; `timestamps` has single ones.

Held by tests/contract/test_timestamps.py.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from skewless.contract.timestamps import UtcMicros

UtcMicrosArray = NDArray[np.int64]
Instant = UtcMicrosArray | np.int64
UTC_TIMESTAMP = pa.timestamp("us", tz="UTC")
"""Their type in Arrow."""


def rfc3339_texts(times: UtcMicrosArray) -> list[str]:
    """`timestamps.rfc3339_text` of each."""
    return [text.removesuffix(".000000") + "Z" for text in np.datetime_as_string(times.view("M8[us]")).tolist()]


def timestamp_array(times: UtcMicrosArray, *, null: NDArray[np.bool_] | None = None) -> pa.Array:
    """Times in Arrow, null where `null` is set."""
    return pa.array(times, mask=null).cast(UTC_TIMESTAMP)


def timestamp_scalar(micros: UtcMicros, tz: str | None = "UTC") -> pa.Scalar:
    """A time to compare a column of microseconds with, whose zone is `tz` (None: naive, which is UTC)."""
    return pa.scalar(micros).cast(pa.timestamp("us", tz=tz))


def date_array(times: UtcMicrosArray) -> pa.Array:
    """The UTC date of each time, in Arrow."""
    return pa.array(times).cast(pa.timestamp("us")).cast(pa.date32(), safe=False)
