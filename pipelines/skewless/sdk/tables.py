"""The tables of a project: filled, checked, compacted.

Held by tests/cli/test_ingest.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from skewless.html.table import PageTable, thousands
from skewless.sdk.arguments import BadArgument, Instant, instant, optional_instant, utc_day
from skewless.sdk.results import ShownResult

if TYPE_CHECKING:
    from datetime import timedelta

    from skewless.monitoring.quality.quality import ExpectationBreach
    from skewless.offline.tables.compaction import CompactionResult
    from skewless.offline.tables.day_partitions import DayWriteResult
    from skewless.sdk.session import ProjectSession


@dataclass(frozen=True, slots=True, repr=False)
class FilledTables(ShownResult):
    """What each table was given; `warnings` are of days without rows in views that expect rows every day."""

    written: list[DayWriteResult]
    warnings: list[str] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """The rows of all tables."""
        return sum(result.rows for result in self.written)

    def lines(self) -> list[str]:
        """The result as text, line by line."""
        changed = sum(result.files_written + result.files_removed for result in self.written)
        summary = f"{self.rows:,} rows in {len(self.written)} tables, {changed:,} files changed"
        return [summary, *(f"warning: {warning}" for warning in self.warnings)]

    def tables(self) -> list[PageTable]:
        """Rows and files by table."""
        rows = tuple(
            (one.table, thousands(one.rows), thousands(one.files_written), thousands(one.files_removed))
            for one in self.written
        )
        return [PageTable("", "", ("table", "rows", "files written", "files removed"), rows)]


@dataclass(frozen=True, slots=True, repr=False)
class QualityReport(ShownResult):
    """The expectations that the rows of each feature view do not meet, as of a time; only views that have expectations."""

    breaches: dict[str, list[ExpectationBreach]]

    @property
    def clean(self) -> bool:
        """Whether all expectations are met."""
        return not any(self.breaches.values())

    def lines(self) -> list[str]:
        """The result as text, line by line."""
        wrong = sum(map(len, self.breaches.values()))
        return [f"{wrong} expectations not met in {len(self.breaches)} feature views", *self.details()]

    def details(self) -> list[str]:
        """Each breach."""
        return [f"{view}: {breach}" for view, breaches in self.breaches.items() for breach in breaches]

    def tables(self) -> list[PageTable]:
        """How many expectations each view does not meet."""
        rows = tuple((view, thousands(len(breaches))) for view, breaches in self.breaches.items())
        return [PageTable("", "", ("feature view", "not met"), rows)]


@dataclass(frozen=True, slots=True, repr=False)
class CompactedTables(ShownResult):
    """What was folded, by table."""

    results: dict[str, CompactionResult]

    def lines(self) -> list[str]:
        """The result as text, line by line."""
        done = self.results.values()
        parts, rows, removed = (sum(getattr(one, name) for one in done) for name in ("parts", "rows", "removed"))
        return [f"{parts:,} parts with {rows:,} rows folded, {removed:,} folded earlier removed"]

    def tables(self) -> list[PageTable]:
        """The counts by table."""
        counts = ((name, one.parts, one.rows, one.files, one.removed) for name, one in self.results.items())
        rows = tuple((name, *map(thousands, numbers)) for name, *numbers in counts)
        heads = ("table", "parts folded", "rows", "files written", "folded earlier, removed")
        return [PageTable("", "", heads, rows)] if rows else []


_WITHOUT_DAYS = {
    "since": "of which what is new is read",
    "all": "of which all rows are read",
}
"""What is said of a table that is not filled by days, by its extent."""


def ingest(
    session: ProjectSession,
    table: str | None,
    files: Sequence[str | Path],
    days: tuple[Instant | None, Instant | None],
    columns: Mapping[str, str],
    *,
    unchecked: bool,
) -> FilledTables:
    """Fill tables. Raises: BadArgument, UnknownTable, FilesNeeded, FilledByItself, StartNotDeclared, IngestMismatch,
    QualityRefused, LockBusy.
    """
    start, end = session.spelled("start"), session.spelled("end")
    first, last = utc_day(start, days[0]), utc_day(end, days[1])
    if files and table is None:
        raise BadArgument(session.spelled("table"), "is missing: name the table that the files are for")
    if files and (first or last):
        raise BadArgument(start if first else end, "is not for files, which have the days that they have; leave it out")
    if columns and not files:
        raise BadArgument(
            session.spelled("columns"), "is for files; a table declares its `columns` where it is declared"
        )
    if first and last and first >= last:
        raise BadArgument(f"{start} {first}", f"is not before {end} {last}")
    from skewless.monitoring.quality.gates import QualityGates
    from skewless.project.ingest import ProjectIngest

    with session.opened() as work, session.step("ingest") as progress:
        gates = QualityGates([]) if unchecked else QualityGates.of(work)
        run = ProjectIngest(work, session.now(), gates.day_checks(work.folders.data))
        if table and (first or last) and (extent := run.table(table).extent) in _WITHOUT_DAYS:
            reason = f"is not for table {table!r}, {_WITHOUT_DAYS[extent]}; leave it out"
            raise BadArgument(start if first else end, reason)
        if files:
            results = [run.add_files(run.table(str(table)), list(map(Path, files)), columns)]
        else:
            results = run.run([run.table(table)] if table else work.tables.filled(), first, last, progress.at)
        done = FilledTables(results, gates.missing_days(results))
        progress.result = done.lines()[0]
    return done


def quality(session: ProjectSession, views: Sequence[str], at: Instant | None) -> QualityReport:
    """Check the tables against the expectations. Raises: UnknownFeatureView, BadExpectation, SourceMissing."""
    from skewless.monitoring.quality.gates import QualityGates

    with session.opened() as work:
        gates = QualityGates.of(work, views)
        with session.step("quality") as progress:
            when = session.now() if at is None else instant(at)
            report = QualityReport({name: gate.check_table(when) for name, gate in gates.by_view.items()})
            progress.result = report.lines()[0]
    return report


def compact(session: ProjectSession, views: Sequence[str], before: Instant | None, keep: timedelta) -> CompactedTables:
    """Fold pushed parts into the days of their tables. Raises: UnknownFeatureView, LockBusy."""
    from skewless.contract.timestamps import to_micros
    from skewless.offline.tables import compaction as verb

    with session.opened() as work:
        at = to_micros(session.now())
        limit = optional_instant(before)
        until = at if limit is None else to_micros(limit)
        tables = {source.path: source for _, source in work.definitions(views)}
        with session.step("compact") as progress:
            done = [verb.run(table, before=until, now=at, keep=keep, report=progress.at) for table in tables.values()]
            result = CompactedTables({path.name: one for path, one in zip(tables, done, strict=True)})
            progress.result = result.lines()[0]
    return result
