"""Sliding windows over events, as step functions of time: a row wherever a value can change.

An event counts in the window (T - length, T] from the instant it is known until `length` later. So
each event adds its sums at one instant and takes them back at another, and the running sum of those
deltas is the window's content at *every* instant: no window is ever scanned. Sums are integers,
hence exact, in whatever order and from whatever day they are computed.

Held by tests/feature_repo/test_tables.py.
"""

# ruff: noqa: S608  (The parts of each query are names and numbers of this package.)

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from .events import LATE_MINUTES

Events = Literal["departures", "arrivals", "scheduled", "overdue"]
Statistic = Literal["mean_delay", "late_share", "count"]


@dataclass(frozen=True, slots=True)
class WindowFeature:
    """A feature: a statistic of the events within the `length` before each instant.

    `mean_delay` (minutes) and `late_share` are null over an empty window; `count` is 0.
    """

    name: str
    statistic: Statistic
    events: Events
    length: timedelta


# Each has the keys and starts_at, ends_at (null: only the window ends it), delay, is_late.
# A flight is overdue from its schedule until it departs; one that left early never is.
_EVENTS: dict[Events, str] = {
    "departures": f"""
        SELECT *, departure_known_at AS starts_at, NULL::TIMESTAMP AS ends_at,
               dep_delay AS delay, dep_delay > {LATE_MINUTES} AS is_late FROM flights""",
    "arrivals": """
        SELECT *, arrival_known_at AS starts_at, NULL::TIMESTAMP AS ends_at,
               arr_delay AS delay, late = 1 AS is_late FROM flights""",
    "scheduled": """
        SELECT *, scheduled_departure AS starts_at, NULL::TIMESTAMP AS ends_at,
               0 AS delay, false AS is_late FROM flights""",
    "overdue": """
        SELECT *, scheduled_departure AS starts_at, departure_known_at AS ends_at,
               0 AS delay, false AS is_late FROM flights
        WHERE departure_known_at IS NULL OR departure_known_at > scheduled_departure""",
}

_SUMS = ("events", "delay", "late")


def steps(keys: Sequence[str], features: Sequence[WindowFeature]) -> str:
    """SQL for `keys`, `instant` and `features` at each instant in [range_start, range_end) when one may change.

    Reads `flights`; of it only what is still in a window at `range_start`, or leaves one then.
    """
    spans = sorted({(feature.events, feature.length) for feature in features})
    columns = [f"{sum_}_{number}" for number in range(len(spans)) for sum_ in _SUMS]
    by = ", ".join([*keys, "instant"])
    partition = f"PARTITION BY {', '.join(keys)}" if keys else ""
    deltas = "\n    UNION ALL BY NAME\n".join(_deltas(keys, number, *span) for number, span in enumerate(spans))
    changes = ", ".join(f"sum({column})::BIGINT AS {column}" for column in columns)
    running = ", ".join(f"coalesce(sum({column}) OVER past, 0) AS {column}" for column in columns)
    values = ", ".join(
        f"{_value(feature, spans.index((feature.events, feature.length)))} AS {feature.name}" for feature in features
    )
    return f"""
WITH deltas AS ({deltas}
), changes AS (
    SELECT {by}, {changes} FROM deltas GROUP BY {by}
), running AS (
    SELECT {by}, {running} FROM changes
    WINDOW past AS ({partition} ORDER BY instant ROWS UNBOUNDED PRECEDING)
)
SELECT {by}, {values} FROM running
WHERE instant >= getvariable('range_start') AND instant < getvariable('range_end')"""


def _deltas(keys: Sequence[str], number: int, events: Events, length: timedelta) -> str:
    """SQL: what enters and what leaves window `number`, as `instant` and its three sums."""
    interval = f"INTERVAL {int(length.total_seconds())} SECOND"
    entering, leaving = (
        f"{sign}1 AS events_{number}, {sign}delay AS delay_{number}, {sign}is_late::TINYINT AS late_{number}"
        for sign in ("+", "-")
    )
    by = "".join(f"{key}, " for key in keys)
    known = f"""({_EVENTS[events]})
    WHERE starts_at >= getvariable('range_start') - {interval} AND starts_at < getvariable('range_end')"""
    return f"""
    SELECT {by}starts_at AS instant, {entering} FROM {known}
    UNION ALL BY NAME
    SELECT {by}least(starts_at + {interval}, ends_at) AS instant, {leaving} FROM {known}"""


def _value(feature: WindowFeature, number: int) -> str:
    """SQL: the feature from its window's sums."""
    match feature.statistic:
        case "count":
            return f"events_{number}::BIGINT"
        case "mean_delay":
            total = f"delay_{number}"
        case "late_share":
            total = f"late_{number}"
    # Divide as doubles, once, then round to float32: a slow reader gets the same bits.
    share = f"({total}::DOUBLE / events_{number}::DOUBLE)::FLOAT"
    return f"CASE WHEN events_{number} > 0 THEN {share} END"
