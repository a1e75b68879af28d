"""Retrains a model on a later window, and makes it a canary only if it is better than the champion.

The training set is rebuilt, and the model is trained and published as a candidate, which no server answers with. Champion
and candidate then score the same held-out rows, each through its own plan, and the served rows whose outcome is known. The
candidate is better if its gain in logloss exceeds the margin with confidence on the held-out rows, and it is not worse with
confidence on the outcomes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Self

import msgspec
import pyarrow as pa

from skewless.contract.errors import RolloutRefused
from skewless.contract.model.bundle import Bundle
from skewless.contract.model.signature import SCORE, MatrixSignature
from skewless.contract.plan import Plan
from skewless.contract.rollout.interface import same_request
from skewless.contract.rollout.rollout import Rollout, trial_of
from skewless.contract.state_folder import StateFolders
from skewless.definitions.compiler import CompiledService
from skewless.model.publishing import publish
from skewless.model.publishing.publish import VersionPlace
from skewless.model.publishing.registry_upload import publishing
from skewless.model.publishing.rollout_steps import (
    ChangeAuthor,
    champion_version,
    deleted_versions,
    open_published,
    require_active,
    try_canary,
)
from skewless.model.scoring.single_output import require_matrix, single_score
from skewless.model.training import train, training_set
from skewless.model.training.labels import known_labels
from skewless.model.training.training_set import TrainingSet
from skewless.monitoring.audit.replay import Scores, spine_of
from skewless.monitoring.retraining.champion_challenger import ChallengerComparison, compare_scores
from skewless.monitoring.served_log.ground_truth import GroundTruth
from skewless.monitoring.served_log.reader import ServedLogReader
from skewless.offline.join.point_in_time import join, request_values, spine_times
from skewless.offline.join.refresh_schedule import RefreshSchedule
from skewless.offline.join.spine import SpineFiles, declared_types
from skewless.offline.tables.source import TableSource
from skewless.project.learner import Learner, LightGbm
from skewless.project.model import LabelColumn, PromotionRule
from skewless.project.windows import TimeSplit
from skewless.registry.model_registry import ModelRegistry
from skewless.runtime.errors import StepInputMissing
from skewless.runtime.progress import Report, quiet
from skewless.runtime.settings import DEFAULT_JOIN_MEMORY

if TYPE_CHECKING:
    from skewless.project.project import ProjectContext

_STEPS = 4


@dataclass(frozen=True, slots=True)
class RetrainOptions:
    """The model, its training rows, its learner, and the `rule` that a candidate must meet.

    With `as_served`, training and comparison join as a store on that schedule would have answered.
    """

    model: str
    spine: Path
    label: LabelColumn
    split: TimeSplit
    learner: Learner
    rule: PromotionRule = field(default_factory=PromotionRule)
    as_served: RefreshSchedule | None = None


@dataclass(frozen=True, slots=True)
class RetrainProject:
    """The folders, the model registry, the current definitions of the service, and a function that gives the tables of a
    plan's views. `memory` bounds the join, in bytes.
    """

    folders: StateFolders
    registry: ModelRegistry
    definitions: CompiledService
    sources: Callable[[Plan], Mapping[str, TableSource]]
    memory: int = DEFAULT_JOIN_MEMORY

    @classmethod
    def of(cls, project: ProjectContext, service: str) -> Self:
        """Raises: NoDefinitions, RegistryUnreadable, InvalidPlan, UnsupportedType, Untraceable."""
        settings, definitions = project.settings, project.service(service)
        return cls(project.folders, settings.registry, definitions, project.sources, settings.join_memory)


class RetrainResult(msgspec.Struct, frozen=True):
    """The verdict: `better` with the `reason`. `live` is None without outcomes; `is_canary` says whether the candidate was
    made a canary.
    """

    model: str
    champion: str
    candidate: str
    start: str
    end: str
    margin: float
    held_out: ChallengerComparison | None
    live: ChallengerComparison | None
    better: bool
    reason: str
    is_canary: bool = msgspec.field(default=False, name="on_trial")

    def __str__(self) -> str:
        state = "is a canary" if self.is_canary else "is better" if self.better else "stays a candidate"
        return f"{self.model} {self.candidate} {state} (champion {self.champion}): {self.reason}"

    def lines(self) -> list[str]:
        """The comparison for a terminal."""
        return [str(compared) for compared in (self.held_out, self.live) if compared is not None]


def run(
    project: RetrainProject,
    options: RetrainOptions,
    *,
    created_at: datetime,
    canary: float | None,
    report: Report = quiet,
) -> RetrainResult:
    """Train and publish a candidate, compare it, and make a better one a canary for the share `canary` of entities (None: no).

    Options that cannot work are refused before anything is written. Raises: StepInputMissing where there is no champion,
    TrainedElsewhere, InvalidPlan, RolloutRefused, SpineMismatch, SourceMissing, SourceMismatch.
    """
    champion = _champion(project, options, canary)
    before, version = champion.manifest.version, _candidate(project, options, created_at, report)
    report("comparing", 3, _STEPS)
    pair = champion, open_published(project.registry, options.model, version)
    held_out, live = (
        (None, None) if before == version else (_held_out(project, options, *pair), _live(project, options, *pair))
    )
    better, reason = verdict(held_out, live, options.rule.margin)
    result = RetrainResult(
        model=options.model,
        champion=before,
        candidate=version,
        start=options.split.start.isoformat(),
        end=options.split.end.isoformat(),
        margin=options.rule.margin,
        held_out=held_out,
        live=live,
        better=better,
        reason=reason,
    )
    if better and canary is not None:
        start_canary(project.registry, result, canary, created_at)
        return msgspec.structs.replace(result, is_canary=True)
    return result


def _candidate(project: RetrainProject, options: RetrainOptions, created_at: datetime, report: Report) -> str:
    """Train and publish a candidate, which serves no request; returns its version."""
    split, definitions = options.split, project.definitions
    folder = project.folders.training / f"{definitions.plan.name}.{options.model}.candidate"
    report("training set", 0, _STEPS)
    rows = SpineFiles(options.spine, split.start, split.end, _types(project, options))
    training_set.run(definitions, rows, folder, as_served=options.as_served, memory=project.memory)
    report("training", 1, _STEPS)
    training = TrainingSet(folder)
    train.run(training, options.label, split, options.learner)
    report("publishing", 2, _STEPS)
    with publishing(project.registry, project.folders.models, options.model) as models:
        deleted = deleted_versions(project.registry, options.model)
        place = VersionPlace(models, options.model, promote=False, deleted=deleted)
        published = publish.run(training, place, created_at=created_at)
    return published.manifest.version


def _champion(project: RetrainProject, options: RetrainOptions, canary: float | None) -> Bundle:
    """The champion, after checking that a candidate can be trained, compared with it and (with `canary`) made a canary."""
    require_active(project.registry, options.model)
    champion = open_published(project.registry, options.model, champion_version(project.registry, options.model))
    plan = project.definitions.plan
    if isinstance(options.learner, LightGbm):
        require_matrix(champion, "retrain")
        MatrixSignature(plan)
    if canary is not None:
        trial_of(options.model, None, "", canary)
        if not same_request(plan, champion.plan):
            reason = f"the service {plan.name} takes other requests than the champion {champion.manifest.version}"
            raise RolloutRefused(
                options.model, f"{reason}; retrain without a canary, or on the service that it was trained on"
            )
    return champion


def verdict(
    held_out: ChallengerComparison | None, live: ChallengerComparison | None, margin: float
) -> tuple[bool, str]:
    """Whether a candidate may become a canary, and why."""
    if held_out is None:
        return False, "it is the champion itself, or there are too few held-out rows to compare"
    if not held_out.low > margin:
        return False, f"its gain on the held-out rows is not more than {margin:g} with confidence"
    if live is not None and live.high < 0:
        return False, "it would have been worse on the outcomes of served predictions, with confidence"
    return True, f"its gain on the held-out rows is more than {margin:g} with confidence"


def start_canary(
    registry: ModelRegistry, result: RetrainResult, weight: float, at: datetime, *, by: str = "skewless retrain"
) -> Rollout:
    """Make a better candidate a canary for the share `weight` of entities; returns the new rollout.

    Raises: RolloutRefused where it takes other requests than the champion, or the champion has changed; InvalidBundle.
    """
    canary = trial_of(result.model, registry.rollout(result.model), result.candidate, weight)
    return try_canary(registry, result.model, canary, ChangeAuthor(by, at, result.reason), result.champion)


def _held_out(
    project: RetrainProject, options: RetrainOptions, champion: Bundle, candidate: Bundle
) -> ChallengerComparison | None:
    split = options.split
    spine = training_set.read_spine(options.spine, split.test, split.end, _types(project, options))
    rows, labels = known_labels(spine, options.label, split.end)
    before, after = (_scores(project, bundle, rows, options.as_served) for bundle in (champion, candidate))
    return compare_scores("held-out rows", labels, before, after, spine_times(rows), confidence=options.rule.confidence)


def _types(project: RetrainProject, options: RetrainOptions) -> dict[str, pa.DataType]:
    return declared_types(project.definitions.plan, options.label.known_at)


def _live(
    project: RetrainProject, options: RetrainOptions, champion: Bundle, candidate: Bundle
) -> ChallengerComparison | None:
    """Compare on the rows that the champion served since the candidate's training and validation ended and whose outcome is
    known. The candidate's inputs are joined as of their time. None where there are no such rows, or the log lacks an
    entity or request column that the candidate needs.
    """
    log, version = ServedLogReader(project.folders.served), champion.manifest.version
    try:
        served = log.read(
            options.model, version, options.split.test, datetime.max.replace(tzinfo=options.split.test.tzinfo)
        )
    except StepInputMissing:
        return None
    labels = GroundTruth(log.folder, options.model).labels_of(served)
    known = labels == labels  # noqa: PLR0124 - not NaN
    served, labels = served.filter(pa.array(known)), labels[known]
    needed = {f"entity:{key.name}" for key in candidate.plan.join_keys}
    needed |= {f"request:{field.name}" for field in candidate.plan.request}
    if not len(served) or needed - set(served.column_names):
        return None
    rows = spine_of(candidate.plan, served)
    after = _scores(project, candidate, rows, options.as_served)
    before: Scores = served.column(SCORE).to_numpy()
    return compare_scores("live outcomes", labels, before, after, spine_times(rows), confidence=options.rule.confidence)


def _scores(project: RetrainProject, bundle: Bundle, rows: pa.Table, as_served: RefreshSchedule | None) -> Scores:
    """The scores that a model would have answered at each row's time."""
    plan, read_at = bundle.plan, None if as_served is None else as_served.filled(spine_times(rows))
    views = join(plan, project.sources(plan), rows, read_at=read_at)
    return single_score(bundle)(bundle.assembler.values(views, request_values(plan, rows)))
