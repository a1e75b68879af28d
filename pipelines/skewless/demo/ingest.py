"""Raw flights into the feature tables and the spine, one Parquet file per table and day."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from types import MappingProxyType

from skewless.demo import events, spine, tables
from skewless.offline.tables import day_partitions

FIRST_DAY = date(2013, 1, 1)
"""The first UTC day with an event."""
LAST_DAY = date(2014, 1, 2)
"""The first UTC day after the last decision time: the default, excluded, end of the range."""

Report = Callable[[str, int, int], None]
"""Progress: called with a table's name, tables done and tables in all, before each table."""


@dataclass(frozen=True, slots=True)
class IngestResult:
    """What lies under `data` now for start <= day < end, table by table."""

    data: Path
    start: date
    end: date
    tables: tuple[day_partitions.DayWriteResult, ...]


def _silent(table: str, done: int, total: int) -> None: ...


def run(
    data: Path,
    start: date = FIRST_DAY,
    end: date = LAST_DAY,
    report: Report = _silent,
    *,
    stamping: events.Stamping = "actual",
    lead: timedelta = spine.LEAD,
    checks: Mapping[str, day_partitions.Check] = MappingProxyType({}),
) -> IngestResult:
    """Write every table's rows with start <= UTC day of event_timestamp < end under `data`.

    Running it again, or after a kill, changes only what differs. A range gives the same files as a
    run over all days does, so what windows look back on before `start` is read from the raw files;
    but *rows* before `start` are not written, and a join shortly after `start` misses them.
    `stamping` and `lead` other than the defaults make the leaky tables whose price the demo shows.
    `checks`, by table, see each day's rows before a reader does. Raises: FlightsMissing, QualityRefused.
    """
    facts = events.record(stamping)
    plan = (*tables.FEATURE_TABLES, tables.flight_spine(lead))
    done = []
    for number, table in enumerate(plan):
        report(table.name, number, len(plan))
        batches = tables.compute(facts, table, _midnight(start), _midnight(end))
        done.append(
            day_partitions.write(
                data / table.name, batches, table.keys, start, end, checks.get(table.name, day_partitions.unchecked)
            )
        )
    facts.close()
    return IngestResult(data, start, end, tuple(done))


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
