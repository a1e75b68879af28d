"""Every feature table against its slow definition, bit for bit, and the times of its rows."""

import random
from bisect import bisect_right
from collections import defaultdict
from dataclasses import fields
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from feature_repo.tables import events
from feature_repo.tables import flights as tables
from tests.feature_repo.flights_oracle import DEFINITIONS, Flight

START = datetime(2013, 1, 1, tzinfo=UTC)
END = datetime(2013, 3, 20, tzinfo=UTC)
TABLES = {table.name: table for table in tables.FEATURE_TABLES}
EVERY_TABLE = [*tables.FEATURE_TABLES, tables.flight_spine()]


@pytest.fixture(scope="module")
def facts():
    return events.record()


@pytest.fixture(scope="module")
def flights(facts):
    names = ", ".join(field.name for field in fields(Flight))
    until = END.replace(tzinfo=None) + timedelta(days=1)  # some leave before their schedule
    found = facts.execute(f"SELECT {names} FROM flights WHERE scheduled_departure < ? ORDER BY ALL", [until]).fetchall()
    return [Flight(*row) for row in found]


def rows(facts, table, start, end):
    """In one order, so that two ways of computing compare."""
    found = tables.compute(facts, table, start, end).read_all()
    return found.sort_by([(name, "ascending") for name in found.schema.names])


def by_key(flights, keys):
    found = defaultdict(list)
    for flight in flights:
        found[tuple(getattr(flight, key) for key in keys)].append(flight)
    return {key: some for key, some in found.items() if None not in key}


def instants(random_, flights):
    """Anywhere, and where it matters: at events and at the ends of their windows, and a minute beside."""
    times = [t for f in flights for t in (f.scheduled_departure, f.departed_at, f.arrived_at) if t is not None]
    anywhere = START.replace(tzinfo=None) + timedelta(minutes=random_.randrange(75 * 1440))
    length = timedelta(hours=random_.choice([0, 1, 2, 3, 6, 24, 7 * 24, 30 * 24]))
    beside = timedelta(minutes=random_.choice([-1, 0, 0, 1]))
    event = random_.choice(times) + length + beside
    return [anywhere, min(event, END.replace(tzinfo=None) - timedelta(minutes=1))]


def bits(value):
    """float32 to its bits, so that -0.0 and 0.0 or two NaNs are not confused."""
    return np.float32(value).tobytes() if isinstance(value, float | np.float32) else value


@pytest.mark.parametrize("name", DEFINITIONS)
def test_the_newest_row_is_the_value_at_every_instant(facts, flights, name):
    table, definitions = TABLES[name], DEFINITIONS[name]
    grouped = by_key(flights, table.keys)
    random_ = random.Random(name)
    found = rows(facts, table, START, END).sort_by("event_timestamp")
    keys = list(zip(*(found[key].to_pylist() for key in table.keys), strict=True)) or [()] * len(found)
    places = defaultdict(list)
    for place, key in enumerate(keys):
        places[key].append(place)
    times = found["event_timestamp"].cast(pa.timestamp("us")).to_pylist()
    for key in random_.choices(sorted(grouped), k=60 if len(grouped) > 3 else 12):
        of_key = places[key]
        for at in instants(random_, grouped[key]):
            newest = bisect_right(of_key, at, key=times.__getitem__) - 1
            values = found.slice(of_key[newest], 1).to_pylist()[0] if newest >= 0 else {}
            for feature, definition in definitions.items():
                expected = definition(grouped[key], at)
                nothing = 0 if "count" in feature else None
                assert bits(values.get(feature, nothing)) == bits(expected), (key, at, feature)


@pytest.mark.parametrize("table", EVERY_TABLE, ids=lambda table: table.name)
def test_day_by_day_equals_the_whole(facts, table):
    start, days = datetime(2013, 3, 9, tzinfo=UTC), 3
    whole = rows(facts, table, start, start + timedelta(days=days))
    parts = [rows(facts, table, start + timedelta(days=day), start + timedelta(days=day + 1)) for day in range(days)]
    if table.name == "aircraft_static":
        assert all(part.equals(whole) for part in parts)
        return
    together = pa.concat_tables(parts)
    assert together.num_rows == whole.num_rows > 0
    assert together.sort_by([(name, "ascending") for name in whole.schema.names]).equals(whole)


@pytest.mark.parametrize("table", EVERY_TABLE, ids=lambda table: table.name)
def test_one_row_per_key_and_instant_in_the_range_with_the_declared_types(facts, table):
    start, end = datetime(2013, 11, 2, tzinfo=UTC), datetime(2013, 11, 4, tzinfo=UTC)
    found = rows(facts, table, start, end)
    assert found.schema == table.schema
    unique = found.group_by([*table.keys, "event_timestamp"]).aggregate([])
    assert unique.num_rows == found.num_rows > 0
    times = found["event_timestamp"].to_pylist()
    assert table.name == "aircraft_static" or all(start <= time < end for time in times)


def test_nothing_that_is_known_later_changes_an_earlier_row():
    """Law of honest times: forget all outcomes after `now`; the rows up to `now` stay bit for bit."""
    now = datetime(2013, 2, 9, 3, tzinfo=UTC)  # the day of the blizzard
    start = now - timedelta(hours=6)
    before, after = events.record(), events.record()
    for column in ("departure", "arrival"):
        after.execute(
            f"UPDATE flights SET {column}_known_at = NULL, late = CASE WHEN '{column}' = 'arrival' THEN NULL ELSE late END"
            f" WHERE {column}_known_at >= ?",
            [now.replace(tzinfo=None)],
        )
    after.execute("UPDATE flights SET dep_delay = NULL WHERE departure_known_at IS NULL")
    after.execute("UPDATE flights SET arr_delay = NULL WHERE arrival_known_at IS NULL")
    for table in tables.FEATURE_TABLES:
        known = rows(before, table, start, now)
        assert known.num_rows > 0
        assert rows(after, table, start, now).equals(known), table.name


def test_weather_of_an_hour_is_known_an_hour_later(facts):
    found = rows(facts, TABLES["origin_weather"], START, END).to_pylist()
    assert {row["created_timestamp"] - row["event_timestamp"] for row in found} == {timedelta(hours=1)}
    by_hour = {(row["origin"], row["event_timestamp"]): row for row in found}
    for row in random.Random(2).sample(found, 300):
        hours = [by_hour.get((row["origin"], row["event_timestamp"] - timedelta(hours=h))) for h in range(6)]
        rain = sum(round(float(hour["precipitation"]) * 100) for hour in hours if hour) / 100
        assert row["precipitation_6h"] == np.float32(rain)
        past = hours[3] and hours[3]["pressure"]
        if past is None or row["pressure"] is None:
            assert row["pressure_change_3h"] is None
        else:
            change = (round(row["pressure"] * 10) - round(past * 10)) / 10
            assert row["pressure_change_3h"] == np.float32(change)


def test_derived_rows_are_known_at_their_instant(facts):
    for name in DEFINITIONS:
        found = rows(facts, TABLES[name], START, START + timedelta(days=2))
        assert found["created_timestamp"].equals(found["event_timestamp"])


def test_the_spine_asks_two_hours_before_departure(facts):
    spine = rows(facts, tables.flight_spine(), START, datetime(2014, 1, 3, tzinfo=UTC))
    assert spine.num_rows == 336_776
    assert spine["late"].null_count == 336_776 - 327_346
    first_day = spine.filter(pc.less(spine["event_timestamp"], START + timedelta(days=1))).to_pylist()
    first = next(row for row in first_day if (row["carrier"], row["flight"]) == ("UA", 1545))
    assert first["event_timestamp"] == datetime(2013, 1, 1, 8, 15, tzinfo=UTC)
    assert first["label_known_at"] == datetime(2013, 1, 1, 14, 30, tzinfo=UTC)
    assert first["scheduled_departure_unix"] == datetime(2013, 1, 1, 10, 15, tzinfo=UTC).timestamp()
    inputs = {name: first[name] for name in ("hour", "weekday", "distance", "block_minutes", "late")}
    assert inputs == {"hour": 5, "weekday": 1, "distance": 1400, "block_minutes": 244, "late": 0}


def test_the_leaky_spine_asks_at_departure(facts):
    at_departure = tables.flight_spine(lead=timedelta(0))
    spine = rows(facts, at_departure, START, START + timedelta(days=2))
    seconds = spine["event_timestamp"].cast(pa.int64()).to_numpy() // 1_000_000
    assert (seconds == spine["scheduled_departure_unix"].to_numpy()).all()
