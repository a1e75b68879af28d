"""Gates at the doors of a feature view: its table, when rows are ingested or pushed, and the online store, when they are
materialized. A batch that does not meet the view's expectations stays outside and is kept aside with the reason.

    <quarantine>/<view>/<batch>-<digest>/rows.parquet, reason.json

The same batch refused twice is kept once. Rows that are wanting (too few, none that is fresh) are told and refuse nothing
at the second door: keeping those out that did come would only make the store staler.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from skewless.contract.errors import InvalidInput, InvalidRows, SkewlessError
from skewless.contract.plan import PlanView
from skewless.monitoring.quality.expectations import ViewExpectations, expectations
from skewless.monitoring.quality.quality import ExpectationBreach, TimeSpan, check, rows_in, rows_of
from skewless.offline.files.atomic import replace_folder
from skewless.offline.tables.day_partitions import Check, DayWriteResult
from skewless.offline.tables.source import TableSource
from skewless.offline.tables.view_rows import ViewRows, read_history
from skewless.online.materialization.materialize import ArrivalWindow
from skewless.online.push import push

if TYPE_CHECKING:  # a task that was told the expectations needs no Feast
    from skewless.project.project import Project

_KEPT_ROWS = 1_000_000
ROWS, REASON = "rows.parquet", "reason.json"
Tell = Callable[[str], None]


@dataclass(eq=False)
class QualityRefused(SkewlessError):
    """A batch of a feature view's rows does not meet the view's expectations."""

    view: str
    batch: str
    breaches: tuple[str, ...]
    quarantine: str

    def __str__(self) -> str:
        return (
            f"feature view {self.view!r}: the rows of {self.batch} are refused: {'; '.join(self.breaches)}. They are kept "
            f"in {self.quarantine}. Mend the rows or the expectation in feature_repo/ and run again (`skewless quality "
            f"--view {self.view}` checks what is stored), or let them pass with --unchecked"
        )


class RefusalReason(msgspec.Struct, frozen=True):
    """Why a batch was refused, for machines."""

    view: str
    door: str
    batch: str
    start: str | None
    end: str
    breaches: list[ExpectationBreach]


@dataclass(frozen=True, slots=True)
class QualityGate:
    """One view's expectations, and where its refused batches go."""

    view: PlanView
    source: TableSource
    expected: ViewExpectations
    quarantine: Path

    def day(self, day: date, rows: pa.Table) -> None:
        """The first door: rows of the view's table of one day. Raises: QualityRefused, SourceMismatch."""
        begin = datetime.combine(day, time(), UTC)
        span = TimeSpan(begin, begin + timedelta(days=1))
        breaches = check(self.expected, self.view, [rows_in(self.view, self.source, rows)], span)
        if breaches:
            self._refuse("ingest", day.isoformat(), span, breaches, rows.slice(0, _KEPT_ROWS))

    def window(self, window: ArrivalWindow, parts: Iterable[ViewRows], tell: Tell) -> None:
        """The second door: what arrived in a window, in parts. Raises: QualityRefused."""
        span, seen = TimeSpan(window.start, window.end), _BatchSample(self.view, parts)
        breaches = check(self.expected, self.view, seen, span)
        wrong = [breach for breach in breaches if not breach.missing]
        if wrong:
            since = window.start.strftime("%Y%m%dT%H%M%S") if window.start else "start"
            batch = f"{since}-{window.end:%Y%m%dT%H%M%S}"
            self._refuse("materialize", batch, span, wrong, pa.concat_tables(seen.kept))
        for breach in breaches:
            tell(f"feature view {self.view.stored_as!r}: {breach}")

    def pushed(self, rows: pa.Table) -> None:
        """The door of pushed rows: their values alone are judged, since few may come at any time, and again; who pushes them
        still has them. Raises: InvalidRows, SourceMismatch.
        """
        values = replace(self.expected, unique=False, rows_per_day=None, fresh_within=None)
        span = TimeSpan(None, datetime.max.replace(tzinfo=UTC))
        breaches = check(values, self.view, [rows_in(self.view, self.source, rows)], span)
        if breaches:
            raise InvalidRows(self.view.stored_as, tuple(InvalidInput("", str(one)) for one in breaches))

    def stored(self, at: datetime) -> list[ExpectationBreach]:
        """What is wrong with the rows that the table holds as of `at` (event time, included). Raises: SourceMissing."""
        files = self.source.files()
        parts = (rows_of(self.view, read_history(self.view, self.source, [file])) for file in files)
        return check(self.expected, self.view, parts, TimeSpan(None, at))

    def _refuse(
        self, door: str, batch: str, span: TimeSpan, breaches: Sequence[ExpectationBreach], rows: pa.Table
    ) -> None:
        start = span.start.isoformat() if span.start else None
        reason = RefusalReason(self.view.stored_as, door, batch, start, span.end.isoformat(), list(breaches))
        told = msgspec.json.format(msgspec.json.encode(reason))
        place = self.quarantine / self.view.stored_as / f"{batch}-{hashlib.sha256(told).hexdigest()[:8]}"
        with replace_folder(place) as building:
            pq.write_table(rows, building / ROWS, compression="zstd")
            (building / REASON).write_bytes(told)
        raise QualityRefused(self.view.stored_as, batch, tuple(map(str, breaches)), str(place))


class _BatchSample:
    """Parts of a batch as the gates take them; the first million rows are remembered, in case they are refused."""

    def __init__(self, view: PlanView, parts: Iterable[ViewRows]) -> None:
        self._view, self._parts = view, parts
        self.kept: list[pa.Table] = []

    def __iter__(self) -> Iterator[pa.Table]:
        room = _KEPT_ROWS
        for part in self._parts:
            rows = rows_of(self._view, part)
            if room:
                self.kept.append(rows.slice(0, room))
                room -= len(self.kept[-1])
            yield rows


class QualityGates:
    """The gates of a project's views that expect anything."""

    def __init__(self, gates: Sequence[QualityGate]) -> None:
        self.by_view = {gate.view.stored_as: gate for gate in gates}

    @classmethod
    def of(cls, work: Project, only: Sequence[str] = ()) -> QualityGates:
        """The gates of the registered views, or of those named. Raises: NoSuchView, BadExpectation."""
        folder = work.folders.quarantine
        found = []
        for view, source in work.stored(only):
            expected = expectations(work.store, work.store.get_feature_view(view.stored_as))
            if expected:
                found.append(QualityGate(view, source, expected, folder))
        return cls(found)

    def doors(self, data: Path) -> dict[str, Check]:
        """The first doors of the tables below a data folder, by table."""
        gates = [gate for gate in self.by_view.values() if gate.source.path.parent == data]
        return {gate.source.path.name: gate.day for gate in gates}

    def pushed(self, view: str) -> push.Check:
        """The door of a view's pushed rows."""
        gate = self.by_view.get(view)
        return push.unchecked if gate is None else gate.pushed

    def absences(self, written: Iterable[DayWriteResult]) -> list[str]:
        """What is to be told of days for which nothing came, though rows are expected of every day: there is nothing that
        a door could keep out.
        """
        told = []
        for gate in self.by_view.values():
            limits, table = gate.expected.rows_per_day, gate.source.path.name
            days = [day for one in written if one.table == table for day in one.absent]
            if days and limits is not None and limits.low:
                some = f"no row of {len(days)} days" if len(days) > 1 else "no row"
                told.append(
                    f"feature view {gate.view.stored_as!r}: {some} ({days[0]} the first); expected {limits} a day"
                )
        return told

    def window(self, tell: Tell) -> Callable[[ArrivalWindow, Iterable[ViewRows]], None]:
        """The second door of all views; `tell` is given what is wanting."""

        def check_window(window: ArrivalWindow, parts: Iterable[ViewRows]) -> None:
            gate = self.by_view.get(window.view.stored_as)
            if gate is not None:
                gate.window(window, parts, tell)

        return check_window

    def plain(self, view: str) -> dict[str, Any] | None:
        """What is expected of a view as JSON takes it, for a process that materializes what another one planned."""
        gate = self.by_view.get(view)
        return None if gate is None else msgspec.to_builtins(gate.expected)

    @classmethod
    def parse(cls, window: ArrivalWindow, told: dict[str, Any] | None, quarantine: Path) -> QualityGates:
        """The gate of a window's view that `plain` told of."""
        if told is None:
            return cls([])
        return cls([QualityGate(window.view, window.source, msgspec.convert(told, ViewExpectations), quarantine)])
