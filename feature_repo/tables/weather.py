"""Hourly observations at the three airports."""

# The weather of each hour in [range_start, range_end), which is known an hour later.
# `precipitation_6h` is the sum over the six hours that end with this one; `pressure_change_3h` is
# null where either hour has no reading. Both are summed as whole hundredths and tenths.
OBSERVATIONS = """
WITH hourly AS (
    SELECT *, timezone('UTC', time_hour)::TIMESTAMP AS instant FROM weather
), recent AS (
    SELECT * FROM hourly
    WHERE instant >= getvariable('range_start') - INTERVAL 6 HOUR AND instant < getvariable('range_end')
)
SELECT now.origin, now.instant, now.instant + INTERVAL 1 HOUR AS known,
       now.temp::FLOAT AS temperature, now.dewp::FLOAT AS dew_point, now.humid::FLOAT AS humidity,
       now.wind_dir::FLOAT AS wind_direction, now.wind_speed::FLOAT AS wind_speed,
       now.precip::FLOAT AS precipitation, now.pressure::FLOAT AS pressure,
       now.visib::FLOAT AS visibility,
       (sum(round(now.precip * 100)::BIGINT) OVER (
           PARTITION BY now.origin ORDER BY now.instant
           RANGE BETWEEN INTERVAL 5 HOUR PRECEDING AND CURRENT ROW
       )::DOUBLE / 100)::FLOAT AS precipitation_6h,
       ((round(now.pressure * 10) - round(past.pressure * 10)) / 10)::FLOAT AS pressure_change_3h
FROM recent AS now
LEFT JOIN recent AS past
    ON past.origin = now.origin AND past.instant = now.instant - INTERVAL 3 HOUR
QUALIFY now.instant >= getvariable('range_start')"""
