"""Windows: relative ones, fixed ones, and how long each is while a label is not known yet."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skewless.project.windows import BadTrainingWindow, BadWindows, TimeSplit, Windows
from skewless.runtime.errors import WindowOrder

DAY = timedelta(days=1)
LENGTHS = st.timedeltas(min_value=timedelta(microseconds=1), max_value=1000 * DAY)
INSTANTS = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))


@given(LENGTHS, LENGTHS, LENGTHS, INSTANTS, st.timedeltas(timedelta(0), 100 * DAY))
def test_windows_follow_each_other_and_end_where_asked(train, validate, test, end, gap):
    split = Windows(train=train, validate=validate, test=test).until(end, gap)
    assert split.end == end
    assert (split.end - split.test, split.test - split.validate, split.validate - split.start) == (
        test + gap,
        validate + gap,
        train + gap,
    )
    assert split.windows["validate"] == (split.validate, split.test)


def test_by_default_they_end_when_the_utc_day_began():
    windows = Windows(train=180 * DAY, validate=30 * DAY, test=30 * DAY)
    late = datetime(2024, 6, 1, 1, 30, tzinfo=timezone(timedelta(hours=5)))
    assert windows.split(late).end == datetime(2024, 5, 31, tzinfo=UTC)
    split = windows.split(datetime(2024, 6, 1, 23, 59, tzinfo=UTC))
    assert split == TimeSplit(
        *(datetime(2024, 6, 1, tzinfo=UTC) - before * DAY for before in (240, 60, 30, 0)),
    )


def test_fixed_windows_are_where_they_are_declared_whatever_the_time():
    windows = Windows.between(train=date(2024, 2, 1), validate=date(2024, 9, 1), test=date(2024, 10, 1), end=date(2025, 1, 1))  # fmt: skip
    expected = TimeSplit(*(datetime(*day, tzinfo=UTC) for day in [(2024, 2, 1), (2024, 9, 1), (2024, 10, 1), (2025, 1, 1)]))  # fmt: skip
    for now in (datetime(2020, 1, 1, tzinfo=UTC), datetime(2030, 1, 1, tzinfo=UTC)):
        assert windows.split(now, 30 * DAY) == expected
    later = windows.until(datetime(2025, 3, 1, tzinfo=UTC))
    assert later.end - later.start == expected.end - expected.start
    assert str(windows) == "213d,30d,92d until 2025-01-01T00:00:00+00:00"


def test_lengths_are_read_from_a_text():
    assert Windows.parse("40d, 10d,12h") == Windows(train=40 * DAY, validate=10 * DAY, test=timedelta(hours=12))
    assert str(Windows.parse("40d,10d,12h")) == "40d,10d,12h"


@pytest.mark.parametrize("text", ["", "40d,10d", "40d,10d,10d,1d", "40d,10d,soon", "40d,0d,10d"])
def test_a_text_that_gives_no_lengths_is_refused(text: str):
    with pytest.raises(BadTrainingWindow, match="212d,30d,92d"):
        Windows.parse(text)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"train": 180}, "windows: train is 180; give a timedelta, or fix the days with Windows.between"),
        ({"validate": timedelta(0)}, "windows: validate is 0:00:00, which is no time; give a positive timedelta"),
        ({"test": -DAY}, "windows: test is -1 day, 0:00:00, which is no time"),
        ({"end": "2024-01-01"}, "windows: end is '2024-01-01'; give a date, as date"),
    ],
)
def test_lengths_that_cannot_be_are_refused_by_name(fields: dict, reason: str):
    with pytest.raises(BadWindows) as refused:
        Windows(**{"train": DAY, "validate": DAY, "test": DAY} | fields)
    assert str(refused.value).startswith(reason)


def test_fixed_windows_ascend():
    with pytest.raises(BadWindows) as refused:
        Windows.between(train=date(2024, 2, 1), validate=date(2024, 9, 1), test=date(2024, 9, 1), end=date(2025, 1, 1))
    assert str(refused.value) == "windows: test 2024-09-01 is not after validate, 2024-09-01"
    with pytest.raises(BadWindows, match="windows: train is '2024'"):
        Windows.between(train="2024", validate=date(2024, 9, 1), test=date(2024, 9, 2), end=date(2025, 1, 1))


def test_a_split_that_does_not_ascend_names_both_ends():
    first, second = datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 2, 1, tzinfo=UTC)
    with pytest.raises(
        WindowOrder, match=r"^test \(2024-01-01.*\) is not after validate \(2024-02-01.*nothing was written"
    ):
        TimeSplit(first, second, first, second)
