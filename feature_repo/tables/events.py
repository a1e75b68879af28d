"""Facts: each flight with honest UTC times, and when each part of it became known."""

from typing import Literal

import duckdb

from . import raw_files

Stamping = Literal["actual", "scheduled"]
"""When a departure and an arrival count as known: `actual` is honest (at the wheels); `scheduled`
is the mistake that the demo prices, which stamps an event and its delay at its scheduled time."""

LATE_MINUTES = 15
"""A flight is late when it arrives (or departs) more than this many minutes after its schedule."""

# Puerto Rico and the Virgin Islands are missing in airports.csv; all four keep one time, no DST.
_ZONES = """
CREATE TABLE zones AS
SELECT faa AS dest, tzone FROM raw_airports WHERE tzone IS NOT NULL
UNION ALL
SELECT unnest(['BQN', 'PSE', 'SJU', 'STT']), 'America/Puerto_Rico'
"""

# The clock at the destination when the flight is due out, and minutes until it next shows
# `sched_arr_time`. Where DST changes on the way the clock then shows an hour more or less, and the
# flight is due an hour sooner or later. (An hour that DST skips is left as if it had not changed.)
_SCHEDULE = """
CREATE TABLE schedule AS
WITH due AS (
    SELECT *, timezone('UTC', time_hour)::TIMESTAMP + to_minutes(minute) AS scheduled_departure,
           (sched_arr_time // 100) * 60 + sched_arr_time % 100 AS arrival_clock
    FROM raw_flights JOIN zones USING (dest)
), unmoved AS (
    SELECT *, scheduled_departure + to_minutes(
        (arrival_clock - {clock_at_departure} + 1439) % 1440 + 1) AS naive
    FROM due
), moved AS (
    SELECT *, arrival_clock - {clock_at_naive} AS gap FROM unmoved
)
SELECT *, CASE WHEN gap IN (-60, 1380) AND {clock_an_hour_before} = arrival_clock
                   THEN naive - INTERVAL 1 HOUR
               WHEN gap IN (60, -1380) THEN naive + INTERVAL 1 HOUR
               ELSE naive END AS scheduled_arrival
FROM moved
"""

_FLIGHTS = """
CREATE TABLE flights AS
WITH timed AS (
    SELECT origin, dest, carrier, flight, tailnum, scheduled_departure, scheduled_arrival,
           dep_delay::INTEGER AS dep_delay, arr_delay::INTEGER AS arr_delay,
           hour, isodow(make_date(year, month, day)) - 1 AS weekday, distance,
           scheduled_departure + to_minutes(dep_delay) AS departed_at,
           scheduled_arrival + to_minutes(arr_delay) AS arrived_at
    FROM schedule
)
SELECT *, (arr_delay > {late})::TINYINT AS late,
       CASE WHEN departed_at IS NOT NULL THEN {departure} END AS departure_known_at,
       CASE WHEN arrived_at IS NOT NULL THEN {arrival} END AS arrival_known_at
FROM timed
"""

_KNOWN_AT = {
    "actual": {"departure": "departed_at", "arrival": "arrived_at"},
    "scheduled": {"departure": "scheduled_departure", "arrival": "scheduled_arrival"},
}


def record(stamping: Stamping = "actual") -> duckdb.DuckDBPyConnection:
    """A database in memory with the facts of the whole year.

    Tables `flights` (one row per scheduled flight; all times are UTC `TIMESTAMP` in whole minutes;
    delays are null where the flight was cancelled or, for the arrival, diverted), `weather` and
    `planes` (as published). Raises: FlightsMissing.
    """
    raw = raw_files.read()
    facts = duckdb.connect()
    facts.execute("SET TimeZone = 'UTC'")
    for name in ("flights", "airports"):
        facts.register(f"raw_{name}", getattr(raw, name))
    for name in ("weather", "planes"):
        facts.register("raw", getattr(raw, name))
        facts.execute(f"CREATE TABLE {name} AS SELECT * FROM raw")  # noqa: S608 (two names)
        facts.unregister("raw")
    facts.execute(_ZONES)
    facts.execute(
        _SCHEDULE.format(
            clock_at_departure=_clock("scheduled_departure"),
            clock_at_naive=_clock("naive"),
            clock_an_hour_before=_clock("(naive - INTERVAL 1 HOUR)"),
        )
    )
    facts.execute(_FLIGHTS.format(late=LATE_MINUTES, **_KNOWN_AT[stamping]))
    facts.execute("DROP TABLE schedule")
    facts.unregister("raw_flights")
    facts.unregister("raw_airports")
    return facts


def _clock(instant: str) -> str:
    """SQL: minutes since midnight that the destination's clock shows at UTC `instant`."""
    local = f"timezone(tzone, timezone('UTC', {instant}))"
    return f"(hour({local}) * 60 + minute({local}))"
