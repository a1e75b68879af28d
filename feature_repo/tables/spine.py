"""The spine: one row per scheduled flight, at the time when its lateness is to be predicted.

Held by tests/feature_repo/test_tables.py.
"""

from datetime import timedelta

LEAD = timedelta(hours=2)
"""A prediction is asked for this long before the scheduled departure."""


def decisions(lead: timedelta = LEAD) -> str:
    """SQL: keys, request inputs and label of each flight whose decision time is in [range_start, range_end).

    `hour` is the local hour of the scheduled departure and `weekday` its local day (Monday is 0);
    `late` is null for a cancelled or diverted flight, and is known at `label_known_at`.
    """
    seconds = int(lead.total_seconds())
    return f"""
WITH decided AS (
    SELECT *, scheduled_departure - to_seconds({seconds}) AS instant
    FROM flights
)
SELECT origin, dest, carrier, flight, tailnum, instant, hour, weekday, distance,
       datediff('minute', scheduled_departure, scheduled_arrival) AS block_minutes,
       epoch(scheduled_departure)::BIGINT AS scheduled_departure_unix,
       late, arrived_at AS label_known_at
FROM decided WHERE instant >= getvariable('range_start') AND instant < getvariable('range_end')"""  # noqa: S608 (a number)
