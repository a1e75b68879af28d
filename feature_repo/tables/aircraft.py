"""What is known of each aircraft: where its last flight stands, and what it was built as."""

# The last arrival and departure of each `tailnum`: a row at each of them in [range_start, range_end).
# All of `flights` before `range_end` is read, as an aircraft may have stood for weeks. Of two
# departures in one minute (there are such records) the greater delay counts.
MOVEMENTS = """
WITH happened AS (
    SELECT tailnum, departure_known_at AS instant, dep_delay, epoch(instant)::BIGINT AS departed,
           NULL::INTEGER AS arr_delay, NULL::BIGINT AS arrived
    FROM flights WHERE departure_known_at < getvariable('range_end')
    UNION ALL
    SELECT tailnum, arrival_known_at AS instant, NULL, NULL, arr_delay, epoch(instant)::BIGINT
    FROM flights WHERE arrival_known_at < getvariable('range_end')
), moments AS (
    SELECT tailnum, instant, max(dep_delay) AS dep_delay, max(departed) AS departed,
           max(arr_delay) AS arr_delay, max(arrived) AS arrived
    FROM happened WHERE tailnum IS NOT NULL GROUP BY tailnum, instant
), so_far AS (
    SELECT tailnum, instant,
           last_value(arr_delay IGNORE NULLS) OVER past::FLOAT AS last_arr_delay,
           last_value(dep_delay IGNORE NULLS) OVER past::FLOAT AS last_dep_delay,
           last_value(arrived IGNORE NULLS) OVER past AS last_arrival_unix,
           last_value(departed IGNORE NULLS) OVER past AS last_departure_unix
    FROM moments
    WINDOW past AS (PARTITION BY tailnum ORDER BY instant ROWS UNBOUNDED PRECEDING)
)
SELECT * FROM so_far WHERE instant >= getvariable('range_start')"""

# Age in 2013 and seats of each `tailnum`, true and known since the year began. The register has no
# times of its own, so it is whole whatever the range.
BUILDS = """
SELECT tailnum, TIMESTAMP '2013-01-01' AS instant, 2013 - year AS plane_age, seats
FROM planes"""
