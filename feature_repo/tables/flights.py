"""The tables that the flights become: one per feature view, and the spine."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache, partial

import duckdb
import pyarrow as pa

from skewless.project import Table
from skewless.project.table import Every

from . import aircraft, events, spine, weather
from .windows import WindowFeature, steps

FIRST_DAY, AFTER_LAST_DAY = date(2013, 1, 1), date(2014, 1, 2)
"""The first UTC day with an event, and the first after the last decision."""
_UTC = pa.timestamp("us", tz="UTC")
_ROWS_PER_BATCH = 100_000


@dataclass(frozen=True, slots=True)
class FlightTable:
    """A table by name. `select` is SQL for its rows with range_start <= event time < range_end (variables).

    `schema` is keys, `event_timestamp`, `created_timestamp` (not in the spine), then the values. In
    the SQL the event time is `instant`, and the created time `known` where it differs. `whole` tables have the same rows
    whatever the range.
    """

    name: str
    keys: tuple[str, ...]
    schema: pa.Schema
    select: str
    known: str = "instant"
    whole: bool = False


def tables(stamping: events.Stamping = "actual", lead: timedelta = spine.LEAD) -> list[Table]:
    """Every feature table and the spine, from one reading of the raw files, at the first use.

    What windows look back on before a range is read from the raw files too. `stamping` and `lead` other than the defaults
    make the leaky tables whose price the demo shows.
    """
    facts = cache(partial(events.record, stamping))
    declared = []
    for table in (*FEATURE_TABLES, flight_spine(lead)):
        rows = partial(_whole if table.whole else _between, facts, table)
        every: Every = "hour" if table.name == "origin_weather" else "day"
        declared.append(Table(table.name, keys=table.keys, rows=rows, start=FIRST_DAY, end=AFTER_LAST_DAY, every=every))
    return declared


def _between(
    facts: Callable[[], duckdb.DuckDBPyConnection], table: FlightTable, start: datetime, end: datetime
) -> pa.RecordBatchReader:
    """Raises: FlightsMissing."""
    return compute(facts(), table, start, end)


def _whole(facts: Callable[[], duckdb.DuckDBPyConnection], table: FlightTable) -> pa.RecordBatchReader:
    """Raises: FlightsMissing."""
    return compute(facts(), table, datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))


def compute(
    facts: duckdb.DuckDBPyConnection, table: FlightTable, start: datetime, end: datetime
) -> pa.RecordBatchReader:
    """Rows of `table` with start <= event_timestamp < end (aware UTC), in order of event day.

    The rows of a range do not depend on where the range starts or ends. `facts` comes from
    `events.record`; the reader must be used up before the next call on the same `facts`.
    """
    for name, instant in (("range_start", start), ("range_end", end)):
        facts.execute(f"SET VARIABLE {name} = ?", [instant.astimezone(UTC).replace(tzinfo=None)])
    times = {"event_timestamp": "instant", "created_timestamp": table.known}
    columns = ", ".join(f"{times.get(name, name)} AS {name}" for name in table.schema.names)
    query = f"SELECT {columns} FROM ({table.select}) ORDER BY date_trunc('day', instant)"  # noqa: S608 (our names)
    batches = facts.sql(query).to_arrow_reader(_ROWS_PER_BATCH)
    return batches.cast(table.schema)


def _schema(keys: dict[str, pa.DataType], values: dict[str, pa.DataType]) -> pa.Schema:
    times = {"event_timestamp": _UTC, "created_timestamp": _UTC}
    return pa.schema(list((keys | times | values).items()))


def _windowed(name: str, keys: dict[str, pa.DataType], *features: WindowFeature) -> FlightTable:
    values = {feature.name: pa.int64() if feature.statistic == "count" else pa.float32() for feature in features}
    return FlightTable(name, tuple(keys), _schema(keys, values), steps(tuple(keys), features))


def _hours(count: int) -> timedelta:
    return timedelta(hours=count)


def _days(count: int) -> timedelta:
    return timedelta(days=count)


_TEXT = pa.string()

FEATURE_TABLES: tuple[FlightTable, ...] = (
    _windowed(
        "origin_departures",
        {"origin": _TEXT},
        WindowFeature("dep_delay_mean_1h", "mean_delay", "departures", _hours(1)),
        WindowFeature("dep_delay_mean_3h", "mean_delay", "departures", _hours(3)),
        WindowFeature("late_share_3h", "late_share", "departures", _hours(3)),
        WindowFeature("overdue_count_3h", "count", "overdue", _hours(3)),
        WindowFeature("scheduled_count_3h", "count", "scheduled", _hours(3)),
    ),
    _windowed(
        "city_departures",
        {},
        WindowFeature("dep_delay_mean_2h", "mean_delay", "departures", _hours(2)),
    ),
    _windowed(
        "carrier_arrivals",
        {"carrier": _TEXT},
        WindowFeature("arr_delay_mean_6h", "mean_delay", "arrivals", _hours(6)),
        WindowFeature("late_share_24h", "late_share", "arrivals", _hours(24)),
    ),
    _windowed(
        "carrier_origin",
        {"carrier": _TEXT, "origin": _TEXT},
        WindowFeature("dep_delay_mean_6h", "mean_delay", "departures", _hours(6)),
        WindowFeature("late_share_7d", "late_share", "departures", _days(7)),
    ),
    _windowed(
        "dest_arrivals",
        {"dest": _TEXT},
        WindowFeature("inbound_delay_mean_6h", "mean_delay", "arrivals", _hours(6)),
        WindowFeature("inbound_delay_mean_24h", "mean_delay", "arrivals", _hours(24)),
    ),
    _windowed(
        "route",
        {"origin": _TEXT, "dest": _TEXT},
        WindowFeature("route_late_share_30d", "late_share", "arrivals", _days(30)),
    ),
    _windowed(
        "flight_number",
        {"carrier": _TEXT, "flight": pa.int64()},
        WindowFeature("late_share_30d", "late_share", "arrivals", _days(30)),
        WindowFeature("arr_delay_mean_30d", "mean_delay", "arrivals", _days(30)),
    ),
    FlightTable(
        "aircraft_movements",
        ("tailnum",),
        _schema(
            {"tailnum": _TEXT},
            {
                "last_arr_delay": pa.float32(),
                "last_dep_delay": pa.float32(),
                "last_arrival_unix": pa.int64(),
                "last_departure_unix": pa.int64(),
            },
        ),
        aircraft.MOVEMENTS,
    ),
    FlightTable(
        "aircraft_static",
        ("tailnum",),
        _schema({"tailnum": _TEXT}, {"plane_age": pa.int64(), "seats": pa.int64()}),
        aircraft.BUILDS,
        whole=True,
    ),
    FlightTable(
        "origin_weather",
        ("origin",),
        _schema(
            {"origin": _TEXT},
            dict.fromkeys(
                (
                    "temperature",
                    "dew_point",
                    "humidity",
                    "wind_direction",
                    "wind_speed",
                    "precipitation",
                    "pressure",
                    "visibility",
                    "precipitation_6h",
                    "pressure_change_3h",
                ),
                pa.float32(),
            ),
        ),
        weather.OBSERVATIONS,
        known="known",
    ),
)


def flight_spine(lead: timedelta = spine.LEAD) -> FlightTable:
    """The spine with its decision times `lead` before the scheduled departures."""
    keys = dict.fromkeys(("origin", "dest", "carrier"), _TEXT)
    keys |= {"flight": pa.int64(), "tailnum": _TEXT}
    inputs = ("hour", "weekday", "distance", "block_minutes", "scheduled_departure_unix")
    values = dict.fromkeys(inputs, pa.int64()) | {"late": pa.int8(), "label_known_at": _UTC}
    schema = pa.schema(list((keys | {"event_timestamp": _UTC} | values).items()))
    return FlightTable("flight_spine", tuple(keys), schema, spine.decisions(lead))
