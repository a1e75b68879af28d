"""UTC microseconds and every form that they are converted from and to."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skewless.contract.timestamp_arrays import (
    UTC_TIMESTAMP,
    date_array,
    rfc3339_texts,
    timestamp_array,
    timestamp_scalar,
)
from skewless.contract.timestamps import (
    DAY_US,
    aware,
    day_text,
    duration_micros,
    from_micros,
    nanos_to_micros,
    parse_rfc3339,
    rfc3339_text,
    to_micros,
)

NOON = datetime(2013, 10, 1, 12, tzinfo=UTC)
NOON_US = 1_380_628_800_000_000
ZONES = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
TIMES = st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29), timezones=ZONES)
MICROS = TIMES.map(to_micros)


def test_noon_is_noon_in_every_form():
    assert to_micros(NOON) == NOON_US
    assert rfc3339_text(NOON_US) == "2013-10-01T12:00:00Z"
    assert parse_rfc3339("2013-10-01T14:00:00+02:00") == NOON_US
    assert parse_rfc3339("2013-10-01t12:00:00.000001z") == NOON_US + 1
    assert timestamp_scalar(NOON_US).as_py() == NOON
    assert timestamp_scalar(NOON_US, None).as_py() == NOON.replace(tzinfo=None)
    assert day_text(NOON_US // DAY_US) == "2013-10-01"
    assert duration_micros(timedelta(days=-1, microseconds=1)) == 1 - DAY_US


@given(time=TIMES)
def test_a_datetime_survives_both_ways(time: datetime):
    assert from_micros(to_micros(time)) == time
    assert aware(time) is time
    assert aware(time.replace(tzinfo=None)) == time.replace(tzinfo=UTC)


def test_a_naive_time_is_refused():
    with pytest.raises(ValueError, match="2013-10-01T12:00:00 has no time zone"):
        to_micros(NOON.replace(tzinfo=None))


@given(times=st.lists(MICROS))
def test_texts_are_what_datetime_writes_and_are_read_back(times: list[int]):
    texts = [rfc3339_text(time) for time in times]
    assert texts == [from_micros(time).isoformat().replace("+00:00", "Z") for time in times]
    assert rfc3339_texts(np.array(times, np.int64)) == texts
    assert [parse_rfc3339(text) for text in texts] == times


@pytest.mark.parametrize(
    "text",
    [
        "2013-10-01",
        "2013-10-01T12:00:00",
        "2013-10-01T12:00Z",
        "2013-W40-2T12:00:00Z",
        "2013-10-01T12:00:00.0000001Z",
        "2013-13-01T12:00:00Z",
        "0001-01-01T00:00:00+23:59x",
        "٢٠١٣-10-01T12:00:00Z",
        "",
    ],
)
def test_any_other_text_is_refused(text: str):
    with pytest.raises(ValueError, match="must be a time as in RFC 3339"):
        parse_rfc3339(text)


@given(times=st.lists(MICROS, min_size=1))
def test_arrow_has_the_same_times_and_dates(times: list[int]):
    array = np.array(times, np.int64)
    instants = [from_micros(time) for time in times]
    assert timestamp_array(array).equals(pa.array(instants, UTC_TIMESTAMP))
    assert date_array(array).to_pylist() == [instant.date() for instant in instants]
    assert [date.fromisoformat(day_text(time // DAY_US)) for time in times] == date_array(array).to_pylist()
    assert timestamp_array(array, null=np.ones(len(times), bool)).null_count == len(times)


@given(nanos=st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1))
def test_nanoseconds_are_cut_to_the_microsecond_before(nanos: list[int]):
    cut = [nanos_to_micros(one) for one in nanos]
    assert all(micros * 1_000 <= one < (micros + 1) * 1_000 for micros, one in zip(cut, nanos, strict=True))
    assert nanos_to_micros(np.array(nanos, np.int64)).tolist() == cut
