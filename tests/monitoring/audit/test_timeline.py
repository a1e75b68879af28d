"""Rows by time: none is lost, and the steps are few."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from skewless.monitoring.audit.timeline import DifferenceTimeline, timeline

SECOND = 1_000_000
NOON = 1_380_628_800 * SECOND


@given(
    st.lists(st.tuples(st.integers(0, 400 * 86_400 * SECOND), st.booleans()), min_size=1, max_size=50),
)
def test_every_row_has_its_step(rows: list[tuple[int, bool]]):
    found = timeline(np.array([NOON + at for at, _ in rows]), np.array([wrong for _, wrong in rows]))
    assert (sum(found.rows), sum(found.differing)) == (len(rows), sum(wrong for _, wrong in rows))
    assert len(found.starts) == len(found.rows) == len(found.differing) <= 100
    assert found.rows[0] > 0
    assert found.rows[-1] > 0


def test_steps_are_told_as_people_say_them():
    minutes = timeline(NOON + np.arange(0, 3_600, 60) * SECOND, np.zeros(60, bool))
    assert (minutes.step, minutes.starts[1], minutes.end) == ("minute", "2013-10-01 12:01 UTC", "2013-10-01 13:00 UTC")
    days = timeline(NOON + np.arange(60) * 86_400 * SECOND, np.ones(60, bool))
    assert (days.step, days.starts[0], days.differing) == ("day", "2013-10-01 UTC", (1,) * 60)
    assert timeline(np.zeros(0, np.int64), np.zeros(0, bool)) == DifferenceTimeline()
