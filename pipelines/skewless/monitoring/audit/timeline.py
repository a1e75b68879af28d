"""Counts of an audit's rows by time, in equal steps."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from skewless.contract.columns import Flags
from skewless.contract.timestamps import DAY_US, SECOND_US, UtcMicros, from_micros

_STEPS = {
    "second": SECOND_US,
    "minute": 60 * SECOND_US,
    "5 minutes": 300 * SECOND_US,
    "hour": 3_600 * SECOND_US,
    "6 hours": 6 * 3_600 * SECOND_US,
    "day": DAY_US,
    "week": 7 * DAY_US,
}
_MOST = 100


class DifferenceTimeline(msgspec.Struct, frozen=True):
    """By time step, how many rows were served and how many of them differ in anything; from the first row's step to the
    last row's.
    """

    step: str = ""
    starts: tuple[str, ...] = ()
    end: str = ""
    rows: tuple[int, ...] = ()
    differing: tuple[int, ...] = ()


def timeline(served_at: NDArray[np.int64], differs: Flags) -> DifferenceTimeline:
    """Count rows by the finest step that gives at most a hundred steps (weeks may give more); times are microseconds."""
    if not len(served_at):
        return DifferenceTimeline()
    first, last = int(served_at.min()), int(served_at.max())
    step = next((name for name, size in _STEPS.items() if last // size - first // size < _MOST), "week")
    size = _STEPS[step]
    steps = served_at // size - first // size
    count = int(steps.max()) + 1
    return DifferenceTimeline(
        step=step,
        starts=tuple(_format_time((first // size + index) * size) for index in range(count)),
        end=_format_time((first // size + count) * size),
        rows=tuple(np.bincount(steps, minlength=count).tolist()),
        differing=tuple(np.bincount(steps[differs], minlength=count).tolist()),
    )


def _format_time(micros: UtcMicros) -> str:
    return f"{from_micros(micros):%Y-%m-%d %H:%M:%S} UTC".replace(":00 UTC", " UTC").replace(" 00:00 UTC", " UTC")
