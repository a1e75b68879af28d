"""The slow definitions of what the flights become: plain loops over flights, right by inspection."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np

LATE = 15


@dataclass(frozen=True, slots=True)
class Flight:
    """One row of the facts' table `flights`; times are naive UTC."""

    origin: str
    dest: str
    carrier: str
    flight: int
    tailnum: str | None
    scheduled_departure: datetime
    dep_delay: int | None
    arr_delay: int | None
    departed_at: datetime | None
    arrived_at: datetime | None


Value = np.float32 | int | None
Definition = Callable[[list[Flight], datetime], Value]


def first_showing(clock: int, departure: datetime, zone: str) -> datetime:
    """The first minute after `departure` (UTC) at which a clock in `zone` shows `clock` (HHMM)."""
    instant = departure
    while True:
        instant += timedelta(minutes=1)
        local = instant.astimezone(ZoneInfo(zone))
        if local.hour * 100 + local.minute == clock:
            return instant


def within(at: datetime, event: datetime | None, hours: int) -> bool:
    """Whether `event` is in the window of `hours` that ends at `at`: after its start, up to its end."""
    return event is not None and at - timedelta(hours=hours) < event <= at


def mean(values: Iterable[int]) -> np.float32 | None:
    found = list(values)
    return np.float32(sum(found) / len(found)) if found else None


def departure_delay(hours: int) -> Definition:
    return lambda flights, at: mean(f.dep_delay for f in flights if within(at, f.departed_at, hours))


def departed_late(hours: int) -> Definition:
    return lambda flights, at: mean(f.dep_delay > LATE for f in flights if within(at, f.departed_at, hours))


def arrival_delay(hours: int) -> Definition:
    return lambda flights, at: mean(f.arr_delay for f in flights if within(at, f.arrived_at, hours))


def arrived_late(hours: int) -> Definition:
    return lambda flights, at: mean(f.arr_delay > LATE for f in flights if within(at, f.arrived_at, hours))


def due(hours: int) -> Definition:
    return lambda flights, at: sum(within(at, f.scheduled_departure, hours) for f in flights)


def overdue(hours: int) -> Definition:
    return lambda flights, at: sum(
        within(at, f.scheduled_departure, hours) and not (f.departed_at is not None and f.departed_at <= at)
        for f in flights
    )


# Of the aircraft: of those known at the time the last, and of two in one minute the greater.
def last_departure_delay(flights: list[Flight], at: datetime) -> Value:
    known = [(f.departed_at, f.dep_delay) for f in flights if f.departed_at is not None and f.departed_at <= at]
    return np.float32(max(known)[1]) if known else None


def last_arrival_delay(flights: list[Flight], at: datetime) -> Value:
    known = [(f.arrived_at, f.arr_delay) for f in flights if f.arrived_at is not None and f.arrived_at <= at]
    return np.float32(max(known)[1]) if known else None


def last_departure(flights: list[Flight], at: datetime) -> Value:
    return unix(max((f.departed_at for f in flights if f.departed_at and f.departed_at <= at), default=None))


def last_arrival(flights: list[Flight], at: datetime) -> Value:
    return unix(max((f.arrived_at for f in flights if f.arrived_at and f.arrived_at <= at), default=None))


def unix(instant: datetime | None) -> int | None:
    return None if instant is None else (instant - datetime(1970, 1, 1)) // timedelta(seconds=1)


DEFINITIONS: dict[str, dict[str, Definition]] = {
    "origin_departures": {
        "dep_delay_mean_1h": departure_delay(1),
        "dep_delay_mean_3h": departure_delay(3),
        "late_share_3h": departed_late(3),
        "overdue_count_3h": overdue(3),
        "scheduled_count_3h": due(3),
    },
    "city_departures": {"dep_delay_mean_2h": departure_delay(2)},
    "carrier_arrivals": {"arr_delay_mean_6h": arrival_delay(6), "late_share_24h": arrived_late(24)},
    "carrier_origin": {"dep_delay_mean_6h": departure_delay(6), "late_share_7d": departed_late(7 * 24)},
    "dest_arrivals": {"inbound_delay_mean_6h": arrival_delay(6), "inbound_delay_mean_24h": arrival_delay(24)},
    "route": {"route_late_share_30d": arrived_late(30 * 24)},
    "flight_number": {"late_share_30d": arrived_late(30 * 24), "arr_delay_mean_30d": arrival_delay(30 * 24)},
    "aircraft_movements": {
        "last_arr_delay": last_arrival_delay,
        "last_dep_delay": last_departure_delay,
        "last_arrival_unix": last_arrival,
        "last_departure_unix": last_departure,
    },
}
"""Feature table -> feature -> its value at an instant, of all flights of one key."""
