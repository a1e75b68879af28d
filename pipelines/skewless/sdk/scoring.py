"""Batch scores, and retraining.

Held by tests/cli/test_model.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from skewless.sdk.arguments import BadArgument, Instant, optional_instant
from skewless.sdk.model_rows import Spine, promotion_of, retraining_split, spine_place, spine_window
from skewless.sdk.results import RowsResult, ShownResult

if TYPE_CHECKING:
    import pyarrow as pa

    from skewless.contract.plan import PlanView
    from skewless.model.scoring.batch_score import ScoringRun
    from skewless.monitoring.retraining.retrain import RetrainResult
    from skewless.offline.tables.source import TableSource
    from skewless.sdk.session import ProjectSession


@dataclass(frozen=True, slots=True)
class ScoreRequest:
    """Which rows a model version is to score, and where the scores go; None: as the model declares. `write_to` names a
    feature view whose table gets them too: its features `take` outputs, known since `created`.
    """

    spine: Spine | None = None
    model: str | None = None
    version: str | None = None
    start: Instant | None = None
    end: Instant | None = None
    out: str | Path | None = None
    write_to: str | None = None
    created: Instant | None = None
    take: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, repr=False)
class ScoredRows(RowsResult):
    """The spine's rows with their scores, in `folder`; `run` is the report. `written_back` says what a view's table got."""

    run: ScoringRun
    folder: Path
    written_back: str = ""

    def lines(self) -> list[str]:
        """The result as text, line by line."""
        already = "" if self.run.written else ", which held them already"
        written = [self.written_back] if self.written_back else []
        return [f"{self.run.rows:,} rows in {self.folder}{already}", *written]

    def to_arrow(self) -> pa.Table:
        """The rows as an Arrow table, in order of time."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        return pa.concat_tables([pq.read_table(self.folder / part) for part in self.run.parts])


@dataclass(frozen=True, slots=True)
class RetrainRequest:
    """How to train anew; None: as the model declares. `window` are lengths, as 212d,30d,92d, and `until` is their end."""

    model: str | None = None
    service: str | None = None
    spine: Spine | None = None
    label: str | None = None
    until: Instant | None = None
    window: str | None = None
    as_served: str | None = None
    margin: float | None = None
    canary: float | None = None


@dataclass(frozen=True, slots=True, repr=False)
class RetrainedModel(ShownResult):
    """A candidate beside the champion: `result` is the verdict, `page` the file of its report."""

    result: RetrainResult
    page: Path

    @property
    def better(self) -> bool:
        """Whether the candidate is better than the champion."""
        return self.result.better

    def lines(self) -> list[str]:
        """The result as text, line by line."""
        return [str(self.result), *self.result.lines(), f"report: {self.page}"]

    def _repr_html_(self) -> str:
        from skewless.html.fragment import framed

        return framed(self.page.read_text())


def score(session: ProjectSession, request: ScoreRequest) -> ScoredRows:
    """Score a spine as of each row's time. Raises: StepInputMissing, InvalidBundle, DefinitionsChanged, SpineMissing,
    SpineMismatch, EmptyWindow, ScoringUnderWay, and as `window_of`.
    """
    from skewless.model.publishing.rollout_steps import champion_version

    given = {"take": bool(request.take), "created": request.created is not None}
    if request.write_to is None and any(given.values()):
        name = next(name for name, there in given.items() if there)
        raise BadArgument(
            session.spelled(name), f"is of the table that gets the scores; give {session.spelled('write_to')}"
        )
    with session.opened() as work:
        declared, registry = session.declared(request.model), session.settings.registry
        model = declared.name()
        place = registry.bundle(model, request.version or champion_version(registry, model))
        target = work.stored([request.write_to])[0] if request.write_to else None
        folder = Path(request.out) if request.out else work.folders.scores / model / place.name
        with spine_place(session, work, declared, request.spine) as spine, session.step("score") as progress:
            from skewless.model.publishing.rollout_steps import open_published
            from skewless.model.scoring import batch_score as verb

            window = spine_window(session, declared, "test", request.spine, (request.start, request.end))
            rows = verb.ScoringSpine(spine, *window)
            bundle = open_published(registry, model, place.name)
            work.confirm_scorable(f"{model} {place.name}", bundle.plan)
            rows.rows(bundle.plan).require_rows()
            sources, memory = work.sources(bundle.plan), work.settings.join_memory
            done = verb.run(
                bundle, place, sources, rows, folder, scored_at=session.now(), report=progress.at, memory=memory
            )
            progress.result = ScoredRows(done, folder).lines()[0]
    return ScoredRows(done, folder, _write_back(session, done, folder, target, request) if target else "")


def _write_back(
    session: ProjectSession,
    done: ScoringRun,
    folder: Path,
    target: tuple[PlanView, TableSource],
    request: ScoreRequest,
) -> str:
    with session.step("write-back") as progress:
        from skewless.model.scoring import score_write_back

        created = optional_instant(request.created)
        written = score_write_back.run(done, folder, *target, created=created, take=request.take)
        view = target[0].stored_as
        progress.result = f"{written.rows:,} rows of feature view {view}; `skewless materialize` brings them online"
    return progress.result


def retrain(session: ProjectSession, request: RetrainRequest) -> RetrainedModel:
    """Train anew and compare with the champion. Raises: StepInputMissing where there is none, and as `retrain.run`."""
    from skewless.offline.join.refresh_schedule import RefreshSchedule

    created_at, declared = session.now(), session.declared(request.model, request.service)
    rule = promotion_of(declared, request.margin, request.canary)
    schedule = RefreshSchedule.parse(request.as_served) if request.as_served else None
    model = declared.name()
    with session.opened() as work, spine_place(session, work, declared, request.spine) as spine:
        column = declared.label(request.label, session.spelled("label"))
        split = retraining_split(session, declared, request.until, request.window)
        service = request.service or declared.spec(session.spelled("service")).service
        with session.step("retrain") as progress:
            from skewless.monitoring.reports.retraining_page import write_report
            from skewless.monitoring.retraining import retrain as verb

            options = verb.RetrainOptions(model, spine, column, split, declared.learner, rule, schedule)
            project = verb.RetrainProject.of(work, service)
            result = verb.run(project, options, created_at=created_at, canary=rule.canary, report=progress.at)
            progress.result = str(result)
        return RetrainedModel(result, write_report(work.folders.reports, result, created_at))
