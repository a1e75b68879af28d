"""Quality gates of a feature view: at its table, when rows are ingested or pushed, and at the online store, when they are
materialized. A batch that does not meet the view's expectations is refused, and quarantined with the reason.

    <quarantine>/<view>/<batch>-<digest>/rows.parquet, reason.json

The same batch refused twice is stored once. At materialization, missing rows (too few, or none that is fresh) only give a
warning: refusing the rows that did arrive would only make the store staler.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from skewless.contract.errors import InvalidInput, InvalidRows, SkewlessError
from skewless.contract.plan import PlanView
from skewless.contract.storage.stored_name import plain_name
from skewless.contract.timestamps import midnight
from skewless.definitions.expectations import ViewExpectations, expectations
from skewless.files.durable import replace_folder
from skewless.monitoring.quality.quality import ExpectationBreach, TimeSpan, check, rows_in, rows_of
from skewless.offline.tables.day_partitions import Check, DayWriteResult
from skewless.offline.tables.source import TableSource
from skewless.offline.tables.view_rows import ViewRows, read_history
from skewless.online.materialization.materialize import ArrivalWindow
from skewless.online.push import push

if TYPE_CHECKING:  # a task that receives the expectations from another one needs no Feast
    from skewless.definitions.compiled_views import CompiledView
    from skewless.project.project import ProjectContext

_QUARANTINED_ROWS = 1_000_000
ROWS, REASON = "rows.parquet", "reason.json"
Warn = Callable[[str], None]


@dataclass(eq=False)
class QualityRefused(SkewlessError):
    """A batch of rows that does not meet the expectations of its feature view."""

    view: str
    batch: str
    breaches: tuple[str, ...]
    quarantine: str

    def __str__(self) -> str:
        return (
            f"feature view {self.view!r}: the rows of {self.batch} are refused: {'; '.join(self.breaches)}. They are in "
            f"{self.quarantine}. Correct the rows, or the expectation in feature_repo/, and run again (`skewless quality "
            f"--view {self.view}` checks what is stored), or let them pass `unchecked`"
        )


class RefusalReason(msgspec.Struct, frozen=True):
    """Why a batch was refused, as stored in reason.json. `stage` is "ingest" or "materialize"."""

    view: str
    stage: str = msgspec.field(name="door")
    batch: str
    start: str | None
    end: str
    breaches: list[ExpectationBreach]


@dataclass(frozen=True, slots=True)
class QualityGate:
    """The expectations of one view, and the folder for its refused batches."""

    view: PlanView
    source: TableSource
    expected: ViewExpectations
    quarantine: Path

    def check_day(self, day: date, rows: pa.Table) -> None:
        """Check the rows that are ingested for one UTC day. Raises: QualityRefused, SourceMismatch."""
        begin = midnight(day)
        span = TimeSpan(begin, begin + timedelta(days=1))
        breaches = check(self.expected, self.view, [rows_in(self.view, self.source, rows)], span)
        if breaches:
            self._refuse("ingest", day.isoformat(), span, breaches, rows.slice(0, _QUARANTINED_ROWS))

    def check_window(self, window: ArrivalWindow, parts: Iterable[ViewRows], warn: Warn) -> None:
        """Check the rows that arrived in a materialization window, in parts. Raises: QualityRefused."""
        span, sample = TimeSpan(window.start, window.end), _BatchSample(self.view, parts)
        breaches = check(self.expected, self.view, sample, span)
        wrong = [breach for breach in breaches if not breach.missing]
        if wrong:
            since = window.start.strftime("%Y%m%dT%H%M%S") if window.start else "start"
            batch = f"{since}-{window.end:%Y%m%dT%H%M%S}"
            self._refuse("materialize", batch, span, wrong, pa.concat_tables(sample.tables))
        for breach in breaches:
            warn(f"feature view {self.view.stored_as!r}: {breach}")

    def check_pushed(self, rows: pa.Table) -> None:
        """Check pushed rows. Only their values are checked, since a push may contain any number of rows and repeat them. They
        are not quarantined: the client still has them. Raises: InvalidRows, SourceMismatch.
        """
        values = replace(self.expected, unique=False, rows_per_day=None, fresh_within=None)
        span = TimeSpan(None, datetime.max.replace(tzinfo=UTC))
        breaches = check(values, self.view, [rows_in(self.view, self.source, rows)], span)
        if breaches:
            raise InvalidRows(self.view.stored_as, tuple(InvalidInput("", str(breach)) for breach in breaches))

    def check_table(self, at: datetime) -> list[ExpectationBreach]:
        """Check the rows in the view's table up to `at` (event time, included). Raises: SourceMissing."""
        files = self.source.files()
        parts = (rows_of(self.view, read_history(self.view, self.source, [file])) for file in files)
        return check(self.expected, self.view, parts, TimeSpan(None, at))

    def _refuse(
        self, stage: str, batch: str, span: TimeSpan, breaches: Sequence[ExpectationBreach], rows: pa.Table
    ) -> None:
        start = span.start.isoformat() if span.start else None
        reason = RefusalReason(self.view.stored_as, stage, batch, start, span.end.isoformat(), list(breaches))
        reason_json = msgspec.json.format(msgspec.json.encode(reason))
        folder = self.quarantine / self.view.stored_as / f"{batch}-{hashlib.sha256(reason_json).hexdigest()[:8]}"
        with replace_folder(folder) as building:
            pq.write_table(rows, building / ROWS, compression="zstd")
            (building / REASON).write_bytes(reason_json)
        raise QualityRefused(self.view.stored_as, batch, tuple(map(str, breaches)), str(folder))


class _BatchSample:
    """Iterates over the parts of a batch, and remembers up to a million rows in `tables`, in case the batch is refused."""

    def __init__(self, view: PlanView, parts: Iterable[ViewRows]) -> None:
        self._view, self._parts = view, parts
        self.tables: list[pa.Table] = []

    def __iter__(self) -> Iterator[pa.Table]:
        remaining = _QUARANTINED_ROWS
        for part in self._parts:
            rows = rows_of(self._view, part)
            if remaining:
                self.tables.append(rows.slice(0, remaining))
                remaining -= len(self.tables[-1])
            yield rows


class QualityGates:
    """The gates of those views of a project that have expectations."""

    def __init__(self, gates: Sequence[QualityGate]) -> None:
        self.by_view = {gate.view.stored_as: gate for gate in gates}

    @classmethod
    def of(cls, project: ProjectContext, only: Sequence[str] = ()) -> QualityGates:
        """The gates of all registered views, or of those in `only`. Raises: UnknownFeatureView, BadExpectation."""
        return cls._of_views(project.compiled(only), project)

    @classmethod
    def of_stored(cls, project: ProjectContext) -> QualityGates:
        """The gates of all definitions that the online store has, those among them that were superseded. Raises: as `of`."""
        return cls._of_views([*project.compiled(), *project.retained()], project)

    @classmethod
    def of_pushed(cls, project: ProjectContext, target: str) -> QualityGates:
        """The gate of the current definition that rows are pushed to by this name. Raises: as `of`."""
        return cls._of_views([v for v in project.compiled() if plain_name(v.plan.stored_as) == target], project)

    @classmethod
    def _of_views(cls, views: Sequence[CompiledView], project: ProjectContext) -> QualityGates:
        expected = [(view, expectations(view)) for view in views]
        folder = project.folders.quarantine
        return cls([QualityGate(view.plan, view.source, wanted, folder) for view, wanted in expected if wanted])

    def day_checks(self, data: Path) -> dict[str, Check]:
        """The checks for ingesting into the tables directly below a data folder, by table."""
        gates = [gate for gate in self.by_view.values() if gate.source.path.parent == data]
        return {gate.source.path.name: gate.check_day for gate in gates}

    def push_check(self, view: str) -> push.Check:
        """The check for rows pushed to a view; it accepts everything where the view has no expectations."""
        gates = [gate for gate in self.by_view.values() if plain_name(gate.view.stored_as) == view]
        return gates[0].check_pushed if gates else push.unchecked

    def missing_days(self, written: Iterable[DayWriteResult]) -> list[str]:
        """Warnings about days without rows in views that expect rows every day; no gate saw these days, as they have no
        batch.
        """
        warnings = []
        for gate in self.by_view.values():
            limits, table = gate.expected.rows_per_day, gate.source.path.name
            days = [day for result in written if result.table == table for day in result.absent]
            if days and limits is not None and limits.low:
                absent = f"no row of {len(days)} days" if len(days) > 1 else "no row"
                warnings.append(
                    f"feature view {gate.view.stored_as!r}: {absent} ({days[0]} the first); expected {limits} a day"
                )
        return warnings

    def window_check(self, warn: Warn) -> Callable[[ArrivalWindow, Iterable[ViewRows]], None]:
        """The check for materialization windows of all views; `warn` is called with each breach that refuses nothing."""

        def check_window(window: ArrivalWindow, parts: Iterable[ViewRows]) -> None:
            gate = self.by_view.get(window.view.stored_as)
            if gate is not None:
                gate.check_window(window, parts, warn)

        return check_window

    def to_builtins(self, view: str) -> dict[str, Any] | None:
        """A view's expectations as JSON-compatible values, to send to the process that materializes; None without any."""
        gate = self.by_view.get(view)
        return None if gate is None else msgspec.to_builtins(gate.expected)

    @classmethod
    def from_builtins(cls, window: ArrivalWindow, expected: dict[str, Any] | None, quarantine: Path) -> QualityGates:
        """The gate of a window's view, from what `to_builtins` gave."""
        if expected is None:
            return cls([])
        return cls([QualityGate(window.view, window.source, msgspec.convert(expected, ViewExpectations), quarantine)])
