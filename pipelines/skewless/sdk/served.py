"""What was served: audited, compared with training, labelled, tidied.

Held by tests/monitoring/audit/test_audit.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from skewless.contract.storage.served_row import Role
from skewless.sdk.arguments import Instant, choice, instant
from skewless.sdk.frames import Rows, arrow_table
from skewless.sdk.model_rows import Spine, spine_place, window_of
from skewless.sdk.results import ShownResult

if TYPE_CHECKING:
    from datetime import timedelta

    from skewless.contract.model.bundle import Bundle
    from skewless.monitoring.audit.audit import AuditResult
    from skewless.monitoring.audit.what_if import WhatIfResult
    from skewless.monitoring.drift.drift import DriftResult
    from skewless.monitoring.served_log.days import TrimResult
    from skewless.monitoring.served_log.ground_truth import GroundTruthAdded
    from skewless.sdk.session import ProjectSession


@dataclass(frozen=True, slots=True)
class ReportFiles:
    """Where the files of a report go: its page, the result as JSON, metrics; None: to the state folder's reports."""

    html: Path | None = None
    json: Path | None = None
    prom: Path | None = None


def report_files(html: str | Path | None, json: str | Path | None, prom: str | Path | None) -> ReportFiles:
    """The files as given."""
    return ReportFiles(*(None if path is None else Path(path) for path in (html, json, prom)))


@dataclass(frozen=True, slots=True)
class ServedSelection:
    """The served predictions of a model version, in a role or in any, with since <= served_at < until."""

    model: str | None = None
    version: str | None = None
    role: Role | None = None
    since: Instant | None = None
    until: Instant | None = None


@dataclass(frozen=True, slots=True, repr=False)
class AuditReport(ShownResult):
    """Served predictions beside the training join: `result` has the counts and causes, `page` is the file of its report."""

    result: AuditResult
    page: Path

    @property
    def clean(self) -> bool:
        """Whether everything that was served equals the training value, to the bit."""
        return self.result.clean

    def lines(self) -> list[str]:
        """The result as text, line by line."""
        return [str(self.result), *self.details(), f"report: {self.page}"]

    def details(self) -> list[str]:
        """Examples of what differs, then the causes."""
        from skewless.monitoring.reports.cause_table import terminal_lines

        return [*self.result.examples, *terminal_lines(self.result)]

    def _repr_html_(self) -> str:
        return _framed(self.page)


@dataclass(frozen=True, slots=True, repr=False)
class DriftReport(ShownResult):
    """Served inputs and scores beside training: `result` has each subject's checks, `page` is the file of its report."""

    result: DriftResult
    page: Path

    @property
    def clean(self) -> bool:
        """Whether nothing drifted."""
        return self.result.clean

    def lines(self) -> list[str]:
        """The result as text, line by line."""
        return [str(self.result), *map(str, self.result.alarms), f"report: {self.page}"]

    def _repr_html_(self) -> str:
        return _framed(self.page)


@dataclass(frozen=True, slots=True, repr=False)
class WhatIfReport(ShownResult):
    """What other refresh schedules would have given: `result` has the numbers, `page` is the file of its report."""

    result: WhatIfResult
    page: Path

    def lines(self) -> list[str]:
        """The result as text, line by line."""
        return [*self.result.lines(), f"report: {self.page}"]

    def _repr_html_(self) -> str:
        return _framed(self.page)


def _framed(page: Path) -> str:
    from skewless.html.fragment import framed

    return framed(page.read_text())


_BEGINNING = "1970-01-01"


def audit(session: ProjectSession, request: ServedSelection, files: ReportFiles) -> AuditReport:
    """Replay served predictions through the join. Raises: StepInputMissing, InvalidBundle, SourceMissing, SourceMismatch."""
    created_at, declared = session.now(), session.declared(request.model)
    model = declared.name()
    choice(session.spelled("role"), request.role, get_args(Role))
    with session.opened() as work:
        from skewless.monitoring.audit import audit as verb
        from skewless.monitoring.audit.evidence import project_evidence
        from skewless.monitoring.reports.audit_files import write_audit
        from skewless.monitoring.served_log.reader import ServedLogReader

        bundle = open_version(session, model, request.version)
        window = instant(request.since or _BEGINNING), instant(request.until) if request.until else created_at
        with session.step("audit") as progress:
            log, evidence = ServedLogReader(work.folders.served), project_evidence(work, bundle.plan)
            result = verb.run(bundle, evidence, log, *window, role=request.role, report=progress.at)
            progress.result = str(result)
        page = write_audit(work.folders.reports, result, created_at, html=files.html, json=files.json, prom=files.prom)
    return AuditReport(result, page)


def drift(session: ProjectSession, request: ServedSelection, files: ReportFiles) -> DriftReport:
    """Compare served inputs and scores with training. Raises: StepInputMissing, InvalidBundle, BadThresholds."""
    from skewless.model.publishing.rollout_steps import champion_version
    from skewless.monitoring.drift import drift as verb
    from skewless.monitoring.drift import served_window
    from skewless.monitoring.reports.drift_files import write_report

    settings, created_at, model = session.settings, session.now(), session.declared(request.model).name()
    chosen = request.version or champion_version(settings.registry, model)
    until = instant(request.until) if request.until else created_at
    window = verb.ServedWindow(model, chosen, instant(request.since or _BEGINNING), until)
    with session.step("drift") as progress:
        result = served_window.run(settings, window)
        progress.result = str(result)
    page = write_report(settings.folders.reports, result, created_at, html=files.html, json=files.json, prom=files.prom)
    return DriftReport(result, page)


@dataclass(frozen=True, slots=True)
class WhatIfRequest:
    """Which rows to score under which schedules; None: as the model declares, over its test window."""

    every: Sequence[str] = ("15m", "1h", "6h", "24h")
    delay: str = "0s"
    model: str | None = None
    since: Instant | None = None
    until: Instant | None = None
    spine: Spine | None = None
    label: str | None = None


def what_if(session: ProjectSession, request: WhatIfRequest, html: Path | None) -> WhatIfReport:
    """The AUC and logloss that each schedule would have given. Raises: BadSchedule, StepInputMissing, and as `window_of`."""
    from skewless.model.training.training_set import read_spine
    from skewless.monitoring.audit import what_if as verb
    from skewless.monitoring.reports.files import write
    from skewless.monitoring.reports.what_if_page import page
    from skewless.offline.join.refresh_schedule import RefreshSchedule
    from skewless.offline.join.spine import declared_types

    schedules = [RefreshSchedule.parse(f"every={every},delay={request.delay}") for every in request.every]
    created_at, declared = session.now(), session.declared(request.model)
    window = window_of(session, declared, "test", (request.since, request.until), ("since", "until"))
    model, label = declared.name(), request.label or declared.spec(session.spelled("label")).label
    bundle = open_version(session, model, None)
    with session.opened() as work:
        with spine_place(session, work, declared, request.spine) as spine, session.step("what-if") as progress:
            rows = read_spine(spine, *window, declared_types(bundle.plan))
            sources = work.sources(bundle.plan)
            result = verb.run(bundle, sources, rows, label, window, schedules, report=progress.at)
            progress.result = f"{result.fresh.rows:,} rows under {len(schedules)} schedules"
        stem = work.folders.reports / f"what-if-{model}-{result.version}"
        return WhatIfReport(
            result, write(stem, result, page(result, created_at), None, html=html, json=None, prom=None)
        )


def open_version(session: ProjectSession, model: str, version: str | None) -> Bundle:
    """A published version, or the champion. Raises: StepInputMissing, InvalidBundle."""
    from skewless.model.publishing.rollout_steps import champion_version, open_published

    registry = session.settings.registry
    return open_published(registry, model, version or champion_version(registry, model))


def outcomes(session: ProjectSession, rows: Rows | str | Path, model: str | None) -> GroundTruthAdded:
    """Store the outcomes of served predictions. Raises: BadGroundTruth, OutcomesOfNoModel; nothing is stored then."""
    from skewless.monitoring.served_log import ground_truth as verb

    settings, declared = session.settings, session.declared(model)
    name = declared.name()
    known = {*declared.project.models, *settings.registry.models()}
    if name not in known and not (settings.folders.served / f"model={name}").is_dir():
        raise verb.OutcomesOfNoModel(name, tuple(sorted(known)))
    with session.step("outcomes") as progress:
        log = verb.GroundTruth(settings.folders.served, name)
        if isinstance(rows, str | Path):
            batch = verb.read(Path(rows))
        else:
            batch = verb.checked(arrow_table(rows, session.spelled("rows")), "the rows that were given")
        added = log.add(batch, session.now())
        progress.result = added.counts
    for warning in added.warnings:
        session.say(warning)
    return added


def trim(session: ProjectSession, models: Sequence[str], keep: timedelta | None) -> TrimResult:
    """Fold each past day of the served log into one file, and remove old days with their outcomes."""
    from skewless.monitoring.served_log import days as verb
    from skewless.monitoring.served_log import ground_truth

    today, served = session.now().date(), session.settings.folders.served
    with session.step("trim") as progress:
        result = verb.trim(verb.days(served, models), today, keep, progress.at)
        progress.result = str(result)
        if keep is not None:
            removed = ground_truth.remove_before(served, today - keep, models)
            progress.result += f"; {removed:,} files of outcomes removed"
    return result
