from __future__ import annotations

import pickle
from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skewless.airflow.window import RunWindow, WindowMissing, window_of

DAY = datetime(2013, 2, 5, tzinfo=UTC)
HOUR = timedelta(hours=1)


def run(**context: object) -> dict[str, object]:
    """A task's context as Airflow gives it: what a run lacks is None."""
    lacking = dict.fromkeys(("partition_key", "data_interval_start", "data_interval_end"))
    return {"run_id": "a run", "params": {"start": None, "end": None}} | lacking | context


def test_a_partition_run_names_its_day_or_its_hour():
    assert window_of(run(partition_key="2013-02-05")) == RunWindow(DAY, DAY + 24 * HOUR)
    assert window_of(run(partition_key="2013-02-05T07")) == RunWindow(DAY + 7 * HOUR, DAY + 8 * HOUR)


def test_an_asset_triggered_run_has_its_upstreams_partition_and_nothing_else():
    context = run(partition_key="2013-02-05", triggering_asset_events={"asset": ["event"]})
    assert window_of(context) == RunWindow(DAY, DAY + 24 * HOUR)


def test_a_backfill_run_is_a_partition_run():
    assert window_of(run(run_id="backfill__2013-02-05", partition_key="2013-02-05")).start == DAY


def test_a_cron_run_with_a_data_interval_takes_it():
    context = run(data_interval_start=DAY, data_interval_end=DAY + HOUR)
    assert window_of(context) == RunWindow(DAY, DAY + HOUR)


def test_a_manual_run_says_it_by_params_in_any_zone():
    assert window_of(run(params={"start": "2013-02-05", "end": "2013-02-05T01:00:00Z"})) == RunWindow(DAY, DAY + HOUR)
    zoned = run(params={"start": "2013-02-05T01:00:00+01:00", "end": "2013-02-05T02:00:00+01:00"})
    assert window_of(zoned) == RunWindow(DAY, DAY + HOUR)


def test_params_go_before_the_partition_and_that_before_the_interval():
    interval = {"data_interval_start": DAY - 48 * HOUR, "data_interval_end": DAY - 24 * HOUR}
    params = {"start": "2013-03-01", "end": "2013-03-02"}
    assert window_of(run(**interval, partition_key="2013-02-05")).start == DAY
    assert window_of(run(**interval, partition_key="2013-02-05", params=params)).start == datetime(
        2013, 3, 1, tzinfo=UTC
    )


@pytest.mark.parametrize(
    ("context", "why"),
    [
        (run(), "neither params nor a partition key nor a data interval"),
        (run(data_interval_start=DAY, data_interval_end=DAY), "its data interval is empty"),
        (run(params={"start": "2013-02-05", "end": None}), "lacks end"),
        (run(params={"start": None, "end": "2013-02-05"}), "lacks start"),
        (run(params={"start": "2013-02-05", "end": "2013-02-05"}), "an empty window"),
        (run(params={"start": "2013-02-06", "end": "2013-02-05"}), "an empty window"),
        (run(params={"start": "yesterday", "end": "2013-02-05"}), "no ISO 8601 time"),
        (run(partition_key="2013-02-05T07:00:00"), "neither a UTC day nor an hour"),
        (run(partition_key="2013-2-5"), "neither a UTC day nor an hour"),
        (run(partition_key="US"), "neither a UTC day nor an hour"),
    ],
)
def test_a_run_that_names_no_window_is_told_what_to_do(context: dict[str, object], why: str):
    with pytest.raises(WindowMissing, match=why) as refused:
        window_of(context)
    assert "'a run'" in str(refused.value)
    assert "trigger it with the params start and end" in str(refused.value)
    assert str(pickle.loads(pickle.dumps(refused.value))) == str(refused.value)


@given(
    st.datetimes(datetime(1980, 1, 1), datetime(2100, 1, 1)).map(
        lambda at: at.replace(minute=0, second=0, microsecond=0)
    )
)
def test_the_hours_of_a_day_are_the_day(at: datetime):
    hour = window_of(run(partition_key=at.strftime("%Y-%m-%dT%H")))
    day = window_of(run(partition_key=at.strftime("%Y-%m-%d")))
    assert hour.end - hour.start == HOUR
    assert day.start <= hour.start
    assert hour.end <= day.end
    assert hour.days == day.days == (at.date(), at.date() + timedelta(days=1))


def test_the_days_that_a_window_touches():
    assert RunWindow(DAY, DAY + 48 * HOUR).days == (date(2013, 2, 5), date(2013, 2, 7))
    assert RunWindow(DAY + HOUR, DAY + 25 * HOUR).days == (date(2013, 2, 5), date(2013, 2, 7))


def test_an_interval_of_another_zone_is_told_in_utc():
    there = timezone(HOUR)
    context = run(data_interval_start=DAY.astimezone(there), data_interval_end=(DAY + HOUR).astimezone(there))
    assert str(window_of(context)) == "[2013-02-05T00:00:00+00:00, 2013-02-05T01:00:00+00:00)"
