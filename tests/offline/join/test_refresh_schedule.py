"""What a store on a schedule holds: the arrivals up to the last run that had finished."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skewless.contract.timestamps import from_micros, to_micros
from skewless.offline.join.refresh_schedule import BadSchedule, RefreshSchedule

MICROSECOND = timedelta(microseconds=1)
spans = st.integers(1, 10**12).map(lambda micros: timedelta(microseconds=micros))


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("hours", "asked", "filled"),
    [
        (24, "2013-10-02T04:00", "2013-10-02T04:00"),
        (24, "2013-10-02T03:59:59.999999", "2013-10-01T04:00"),
        (24, "2013-10-02T23:00", "2013-10-02T04:00"),
        (24, "1969-12-31T03:00", "1969-12-30T04:00"),
        (6, "2013-10-02T03:59", "2013-10-01T22:00"),
        (6, "2013-10-02T10:00", "2013-10-02T10:00"),
        (1, "2013-10-02T10:59:59.999999", "2013-10-02T10:00"),
    ],
)
def test_the_last_refresh_counts_from_an_offset(hours: int, asked: str, filled: str):
    schedule = RefreshSchedule(timedelta(hours=hours), offset=timedelta(hours=4))
    (micros,) = schedule.filled(np.array([to_micros(at(asked))])).tolist()
    assert from_micros(micros) == at(filled)


@given(every=spans, delay=spans, offset=spans, times=st.lists(st.integers(-(10**15), 10**16), min_size=1))
def test_the_last_run_that_had_finished_by_definition(
    every: timedelta, delay: timedelta, offset: timedelta, times: list[int]
):
    filled = RefreshSchedule(every, delay, offset).filled(np.array(times)).tolist()
    step, late, begin = (span // MICROSECOND for span in (every, delay, offset))
    for asked, found in zip(times, filled, strict=True):
        assert (found - begin) % step == 0, "a run ends its window there"
        assert found + late <= asked, "it had finished"
        assert found + step + late > asked, "the next one had not"


def test_schedules_as_text():
    assert RefreshSchedule.parse("every=1h,delay=5m") == RefreshSchedule(timedelta(hours=1), timedelta(minutes=5))
    assert RefreshSchedule.parse("15m") == RefreshSchedule(timedelta(minutes=15))
    assert str(RefreshSchedule.parse("delay=90s,every=24h")) == "every=1d,delay=90s"
    assert str(RefreshSchedule.parse("1.5h")) == "every=90m,delay=0s"
    assert str(RefreshSchedule.parse("0.5s")) == "every=0.5s,delay=0s"
    for text in ("", "every=0h", "every=1w", "delay=5m", "every=1h,often=2h", "1h,"):
        with pytest.raises(BadSchedule, match="write every=1h,delay=5m"):
            RefreshSchedule.parse(text)
