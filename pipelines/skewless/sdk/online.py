"""The online store: filled, pushed to, compared with the tables, cleaned.

Held by tests/cli/test_data.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skewless.contract.storage.expiry_mode import ExpiryMode
from skewless.html.table import PageTable, thousands
from skewless.sdk.arguments import BadArgument, Instant, at_least, choice, optional_instant
from skewless.sdk.frames import Rows, arrow_table, is_dicts, json_rows
from skewless.sdk.results import ShownResult

if TYPE_CHECKING:
    from skewless.contract.plan import PlanView
    from skewless.contract.storage.push_batch import PushBatch
    from skewless.contract.timestamps import UtcMicros
    from skewless.offline.tables.source import TableSource
    from skewless.online.maintenance.verify_result import VerifyResult
    from skewless.online.push.push import PushedRows, PushResult
    from skewless.online.push.row_files import Format
    from skewless.project.project import ProjectContext
    from skewless.sdk.session import ProjectSession
    from skewless.state.run_history import RunCounts


@dataclass(frozen=True, slots=True, repr=False)
class MaterializedViews(ShownResult):
    """The rows read and written by feature view. `idle` views were up to date; `planned` says what a dry run would do."""

    counts: dict[str, RunCounts]
    idle: int = 0
    warnings: list[str] = field(default_factory=list)
    planned: list[str] = field(default_factory=list)

    @property
    def written(self) -> int:
        """The rows that were written to the online store."""
        return sum(counts.written for counts in self.counts.values())

    def lines(self) -> list[str]:
        """The result as text, line by line."""
        if self.planned:
            return self.planned
        waiting = sum(counts.held_back for counts in self.counts.values())
        summary = f"{self.written:,} rows written in {len(self.counts)} views, {waiting:,} wait for their time"
        summary += f"; {self.idle} views are materialized up to then, or later" if self.idle else ""
        return [summary, *(f"warning: {warning}" for warning in self.warnings)]

    def tables(self) -> list[PageTable]:
        """The counts by view."""
        rows = tuple(
            (view, *map(thousands, (one.read, one.written, one.skipped_older, one.held_back)))
            for view, one in self.counts.items()
        )
        heads = ("feature view", "read", "written", "older than stored", "wait for their time")
        return [PageTable("", "", heads, rows)] if rows else []


@dataclass(frozen=True, slots=True, repr=False)
class StoreComparison(ShownResult):
    """The online store beside the tables, by feature view; `warnings` are of the server's configuration."""

    views: list[VerifyResult]
    warnings: list[str]

    @property
    def clean(self) -> bool:
        """Whether nothing differs."""
        return not any(view.differences for view in self.views)

    def lines(self) -> list[str]:
        """The result as text, line by line."""
        return [*map(str, self.views), *(f"warning: {text}" for text in self.warnings)]

    def as_json(self) -> dict[str, object]:
        """The result as JSON-compatible values."""
        return {"views": [view.as_json() for view in self.views], "warnings": self.warnings}


def materialize(
    session: ProjectSession,
    views: Sequence[str],
    window: tuple[Instant | None, Instant | None],
    *,
    full: bool,
    dry_run: bool,
    unchecked: bool,
) -> MaterializedViews:
    """Write the rows that arrived in (start, end] to the online store. Raises: BadArgument, UnknownFeatureView, WindowOrder,
    QualityRefused, SourceMissing, SourceMismatch, LockBusy, RedisUnreachable, StoreFull, StoreReadOnly.
    """
    from skewless.monitoring.quality.gates import QualityGates
    from skewless.online.materialization import materialize as verb

    since, until = _span(session, window, full=full)
    with session.opened() as work:
        known, outputs = _named(work, views)
        if not dry_run:
            work.targets()
        stored = work.online.stored_views([view for view, _ in known])
        span = {"start": since, "end": until, "full": full, "overlap": work.settings.late_events}
        windows = verb.plan_windows(work.state, work.project, known, stored=stored, **span)  # type: ignore[arg-type]
        if dry_run:
            planned = [f"{window}: {window.arrivals()}" for window in windows]
            return MaterializedViews({}, planned=[*planned, *(f"{name}: outputs of what changed" for name in outputs)])
        warnings = [] if known or outputs else ["there are no online feature views; run `skewless apply`"]
        with session.step("materialize") as progress:
            check = verb.unchecked if unchecked else QualityGates.of_stored(work).window_check(session.say)
            options: dict[str, Callable[..., Any]] = {
                "clock": session.now,
                "report": progress.at,
                "warn": warnings.append,
            }
            done = verb.run(windows, work.online_project, check=check, **options)  # type: ignore[arg-type]
            if outputs:
                done |= _outputs(work, outputs, (since, until, full), options)
            result = MaterializedViews(done, len(known) + len(outputs) - len(done), warnings)
            progress.result = result.lines()[0]
    return result


def _outputs(
    work: ProjectContext,
    names: Sequence[str],
    window: tuple[datetime | None, datetime, bool],
    options: Mapping[str, Callable[..., Any]],
) -> dict[str, RunCounts]:
    """Compute the stored outputs of on-demand views in the window: start, end, and whether from the beginning."""
    from skewless.feast.materialization.stored_outputs import ArrivalSpan, run

    start, end, full = window
    return run(
        work.store, names, work.online_project, ArrivalSpan(end, start, full, work.settings.late_events), **options
    )


def _span(
    session: ProjectSession, window: tuple[Instant | None, Instant | None], *, full: bool
) -> tuple[datetime | None, datetime]:
    """Start and end of the arrivals; the start is None (unbounded) where it is absent, the end defaults to now."""
    from skewless.runtime.errors import ascending

    since, until = map(optional_instant, window)
    until = session.now() if until is None else until
    if full and since is not None:
        raise BadArgument(session.spelled("full"), f"starts at the beginning; leave out {session.spelled('start')}")
    if since is not None:
        ascending(**{session.spelled("start"): since, session.spelled("end"): until})
    return since, until


def _named(work: ProjectContext, names: Sequence[str]) -> tuple[list[tuple[PlanView, TableSource]], list[str]]:
    """The definitions, and the on-demand views whose outputs are stored, of these names, or all. Raises: UnknownFeatureView."""
    outputs = [name for name in work.stored_outputs() if not names or name in names]
    others = [name for name in names if name not in outputs]
    return (work.definitions(others) if others or not names else []), outputs


def push(
    session: ProjectSession, view: str, rows: Rows | str | Path | bytes, kind: str | None, *, unchecked: bool
) -> PushResult:
    """Push rows of a frame, of a file, or the bytes of one. Raises: BadArgument, UnknownFeatureView, InvalidRows,
    SourceMismatch, UnreadableRowFile, TableRefused; nothing is stored then.
    """
    from skewless.contract.timestamps import to_micros
    from skewless.monitoring.quality.gates import QualityGates
    from skewless.online.push import push as verb

    with session.opened() as work:
        pushed = verb.PushedRows(work.project, work.target(view))
        with session.step("push") as progress:
            received = to_micros(session.now())
            batch = _batch(session, pushed, rows, kind, received)
            check = verb.unchecked if unchecked else QualityGates.of_pushed(work, view).push_check(view)
            done = verb.run(work.project, pushed.target, batch, work.data, work.online, received, check)
            progress.result = str(done)
    return done


def format_of(session: ProjectSession, kind: str | None, file: Path | None) -> Format:
    """The format of a file of rows: the one that was chosen, else by its suffix, else JSON. Raises: BadArgument."""
    from skewless.online.push import row_files

    chosen = row_files.format_of(kind, file)
    if chosen is None:
        raise BadArgument(session.spelled("format"), "is not said by the file's suffix; say json, csv or parquet")
    return chosen


def _batch(
    session: ProjectSession, pushed: PushedRows, rows: Rows | str | Path | bytes, kind: str | None, now: UtcMicros
) -> PushBatch:
    from skewless.online.push import row_files

    if isinstance(rows, bytes):
        return row_files.read(pushed, rows, format_of(session, kind, None), now)
    if isinstance(rows, str | Path):
        file = Path(rows).expanduser()
        if not file.exists() or file.is_dir():  # a pipe is good, too
            raise BadArgument(session.spelled("rows"), f"there is no file {file}")
        return row_files.read(pushed, file.read_bytes(), format_of(session, kind, file), now)
    if is_dicts(rows):
        return pushed.batch([pushed.parse(json_rows(rows, session.spelled("rows")))], now)
    return row_files.batch_of(pushed, arrow_table(rows, session.spelled("rows")), now)


def verify(session: ProjectSession, views: Sequence[str], sample: int, seed: int, *, repair: bool) -> StoreComparison:
    """Compare the online store with the tables as of each view's watermark. Raises: UnknownFeatureView, RedisUnreachable."""
    from skewless.online.maintenance import verify as verb
    from skewless.online.maintenance.redis_config import warnings
    from skewless.online.maintenance.verify_result import EntitySample

    at_least(session.spelled("sample"), sample, 1)
    at_least(session.spelled("seed"), seed, 0)
    with session.opened() as work:
        known, server_warnings = work.definitions(views), warnings(work.online.client)
        with session.step("verify") as progress:
            entities = EntitySample(sample, seed)
            result = verb.run(known, work.online_project, report=progress.at, sample=entities, repair=repair)
            progress.result = f"{sum(view.compared for view in result):,} rows of {len(result)} views compared"
    return StoreComparison(result, server_warnings)


@dataclass(frozen=True, slots=True, repr=False)
class RemovedRows(ShownResult):
    """How many rows were removed from the online store, by view or stored name; `warning` is about the server's expiry."""

    rows: dict[str, int]
    warning: str | None = None

    @property
    def total(self) -> int:
        """The rows of all views."""
        return sum(self.rows.values())

    def lines(self) -> list[str]:
        """The result as text, line by line."""
        of_views = [f"{rows:,} rows of {view} removed" for view, rows in self.rows.items()]
        return [*(of_views or ["nothing was left"]), *([f"warning: {self.warning}"] if self.warning else [])]

    def tables(self) -> list[PageTable]:
        """The rows by view."""
        rows = tuple((view, thousands(number)) for view, number in self.rows.items())
        return [PageTable("", "", ("view", "rows removed"), rows)] if rows else []

    def _repr_html_(self) -> str:
        from skewless.html.fragment import fragment

        return fragment(self.lines()[len(self.rows) :], self.tables())


def expire(session: ProjectSession, views: Sequence[str], end: Instant | None, by: ExpiryMode | None) -> RemovedRows:
    """Remove rows long past their ttl, and old definitions that no model reads. Raises:
    BadArgument, UnknownFeatureView, LockBusy, RedisUnreachable, StoreReadOnly.
    """
    from skewless.online.maintenance import expiry
    from skewless.project import retained_definitions

    choice(session.spelled("by"), by, ExpiryMode)
    if by and (views or end):
        view = session.spelled("view")
        raise BadArgument(
            session.spelled("by"),
            f"is for the whole project, as of now; leave out {view} and {session.spelled('end')}",
        )
    warning = None
    with session.opened() as work, session.step("expire") as progress:
        if not views:
            retained_definitions.sweep(work, session.now(), report=progress.at)
        known = [view for view, _ in work.definitions(views)]
        if by:
            chosen = expiry.choose(ExpiryMode(by), known, work.online_project, report=progress.at)
            done, warning = chosen.removed, chosen.warning
        else:
            done = expiry.run(known, work.online_project, end=optional_instant(end), report=progress.at)
        progress.result = f"{sum(done.values()):,} rows removed from {len(done)} views, by {work.online.expiry()}"
    return RemovedRows(done, warning)


def sweep(session: ProjectSession) -> RemovedRows:
    """Remove old definitions that no model reads any more; rows by stored name. Raises: RemovalUnfinished, RedisUnreachable."""
    from skewless.project import retained_definitions as verb

    with session.opened() as work, session.step("sweep") as progress:
        removed = verb.sweep(work, session.now(), report=progress.at)
        progress.result = ", ".join(f"{rows:,} of {view}" for view, rows in removed.items()) or "nothing was left"
    return RemovedRows(removed)
