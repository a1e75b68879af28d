import importlib.util
import random
from datetime import UTC, datetime

import duckdb
import pyarrow as pa
import pytest

from feature_repo.tables import events, raw_files
from tests.feature_repo.flights_oracle import first_showing


@pytest.fixture(scope="module")
def raw() -> raw_files.RawFiles:
    return raw_files.read()


@pytest.fixture(scope="module")
def facts() -> duckdb.DuckDBPyConnection:
    return events.record()


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text)


def one(facts, carrier, flight, due_out):
    return facts.execute(
        "SELECT dest, scheduled_arrival, departed_at, arrived_at, late, hour, weekday FROM flights"
        " WHERE carrier = ? AND flight = ? AND scheduled_departure = ?",
        [carrier, flight, utc(due_out)],
    ).fetchall()


@pytest.mark.parametrize(
    ("carrier", "flight", "due_out", "facts_of_it"),
    [
        # 05:15 in New York, due 08:19 in Houston, an hour behind.
        ("UA", 1545, "2013-01-01 10:15", ("IAH", "2013-01-01 14:19", "10:17", "14:30", 0, 5, 1)),
        # Puerto Rico is an hour ahead in winter, and the airport is not in airports.csv.
        ("B6", 725, "2013-01-01 10:45", ("BQN", "2013-01-01 14:22", "10:44", "14:04", 0, 5, 1)),
        # In summer it shows New York's time: out at 23:59, due at 03:40 on the next day.
        ("B6", 839, "2013-07-05 03:59", ("BQN", "2013-07-05 07:40", "04:11", "08:00", 1, 23, 3)),
        # New York changed its clocks while this one was in the air, and Los Angeles had not yet.
        ("AA", 185, "2013-03-10 02:35", ("LAX", "2013-03-10 08:50", "02:34", "08:51", 0, 21, 5)),
        ("AA", 185, "2013-11-03 01:40", ("LAX", "2013-11-03 07:40", "01:39", "07:43", 0, 21, 5)),
        # Phoenix has no summer time.
        ("US", 311, "2013-03-10 10:30", ("PHX", "2013-03-10 16:19", "10:25", "15:55", 0, 6, 6)),
    ],
)
def test_flights_checked_by_hand(facts, carrier, flight, due_out, facts_of_it):
    dest, arrival, departed, arrived, late, hour, weekday = facts_of_it
    day = arrival[:10]
    expected = (dest, utc(arrival), utc(f"{day} {departed}"), utc(f"{day} {arrived}"), late, hour, weekday)
    assert one(facts, carrier, flight, due_out) == [expected]


def test_a_delay_of_a_day_lands_on_the_next_day(facts):
    found = one(facts, "HA", 51, "2013-01-09 14:00")
    times = (utc("2013-01-10 01:30"), utc("2013-01-10 11:41"), utc("2013-01-10 22:42"))
    assert found == [("HNL", *times, 1, 9, 2)]


def test_cancelled_and_diverted_flights_have_no_label(facts):
    assert one(facts, "EV", 4308, "2013-01-01 21:30")[0][2:5] == (None, None, None)
    assert one(facts, "MQ", 4525, "2013-01-01 20:30")[0][2:5] == (utc("2013-01-01 20:25"), None, None)


def test_every_landing_shows_the_clock_that_the_airline_reported(facts, raw):
    """`arr_time` took no part in `arrived_at`: it comes from the schedule, the time zone and the delay."""
    facts.register("raw_again", raw.flights)
    wrong = facts.execute(
        """
        WITH landed AS (
            SELECT raw.arr_time, timezone(tzone, timezone('UTC', arrived_at)) AS local
            FROM flights JOIN zones USING (dest)
            JOIN raw_again AS raw USING (origin, dest, carrier, flight)
            WHERE raw.time_hour + to_minutes(raw.minute) = timezone('UTC', scheduled_departure)
        )
        SELECT count(*), count(*) FILTER (hour(local) * 100 + minute(local) != arr_time % 2400)
        FROM landed WHERE local IS NOT NULL"""
    ).fetchall()
    facts.unregister("raw_again")
    # One flight landed three minutes after the clocks went forward, and its airline reported the old time.
    assert wrong == [(327_346, 1)]


def test_scheduled_arrivals_equal_the_slow_definition(facts, raw):
    facts.register("raw_again", raw.flights)
    rows = facts.execute(
        """
        SELECT raw.sched_arr_time, scheduled_departure, tzone, scheduled_arrival
        FROM flights JOIN zones USING (dest) JOIN raw_again AS raw USING (origin, dest, carrier, flight)
        WHERE raw.time_hour + to_minutes(raw.minute) = timezone('UTC', scheduled_departure)
        ORDER BY scheduled_departure, carrier, flight"""
    ).fetchall()
    facts.unregister("raw_again")
    for clock, departure, zone, arrival in random.Random(1).sample(rows, 150):
        assert first_showing(clock, departure.replace(tzinfo=UTC), zone) == arrival.replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("out", "clock", "arrival"),
    [
        ("2013-03-10 05:30", 500, "2013-03-10 09:00"),  # the clock skips 02:00 to 03:00 on the way
        ("2013-11-03 04:30", 500, "2013-11-03 10:00"),  # the clock shows 01:00 to 02:00 twice
        ("2013-11-03 04:30", 130, "2013-11-03 05:30"),  # the first of the two
        ("2013-11-02 14:00", 1000, "2013-11-03 15:00"),  # the same clock again: a day later, of 25 hours
        ("2013-03-10 05:30", 230, "2013-03-10 07:30"),  # never shown on that day
    ],
)
def test_clocks_that_change_on_the_way(monkeypatch, raw, out, clock, arrival):
    one = raw.flights.slice(0, 1).to_pylist()[0]
    departure = utc(out).replace(tzinfo=UTC)
    one |= {"dest": "BUF", "time_hour": departure.replace(minute=0), "minute": departure.minute}
    flights = pa.Table.from_pylist([one | {"sched_arr_time": clock}], schema=raw.flights.schema)
    changed = raw_files.RawFiles(flights, raw.weather, raw.planes, raw.airports)
    monkeypatch.setattr(raw_files, "read", lambda: changed)
    assert events.record().execute("SELECT scheduled_arrival FROM flights").fetchall() == [(utc(arrival),)]


def test_the_leaky_stamping_knows_events_at_their_schedule():
    leaky = events.record("scheduled").execute(
        "SELECT count(*) FROM flights WHERE departure_known_at != scheduled_departure"
        " OR arrival_known_at != scheduled_arrival OR (departed_at IS NULL) != (departure_known_at IS NULL)"
    )
    assert leaky.fetchall() == [(0,)]


def test_without_the_package_the_error_says_what_to_type(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(raw_files.FlightsMissing, match="uv sync --extra example"):
        raw_files.folder()
