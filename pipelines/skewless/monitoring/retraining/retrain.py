"""Trains a model anew on a later window, and tries it on requests only if it is better than the champion.

The training set is rebuilt, the model trained and published as a candidate, which no server answers with. Champion and
candidate then score the same held-out rows, each through its own plan, and the served rows whose outcome is known. The
candidate is better where its gain in logloss is more than the margin with confidence on the held-out rows, and the
outcomes do not say with confidence that it is worse.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Self

import msgspec
import pyarrow as pa

from skewless.contract.errors import RolloutRefused
from skewless.contract.model.bundle import Bundle
from skewless.contract.model.signature import SCORE, MatrixSignature
from skewless.contract.plan import Plan
from skewless.contract.registry.model_registry import ModelRegistry
from skewless.contract.registry.rollout import Rollout, same_request, trial_of
from skewless.contract.state_folder import StateFolders
from skewless.definitions.compiler import CompiledService
from skewless.model.publishing import publish
from skewless.model.publishing.registry_upload import publishing
from skewless.model.publishing.rollout_steps import ChangeAuthor, champion_version, proven, try_canary
from skewless.model.scoring.single_output import of_one_matrix, one_score
from skewless.model.training import train, training_set
from skewless.model.training.train import Parameters, TimeSplit
from skewless.model.training.training_set import TrainingSet, labelled
from skewless.monitoring.audit.replay import Scores, spine_of
from skewless.monitoring.retraining.champion_challenger import ChallengerComparison, contest
from skewless.monitoring.served_log.ground_truth import GroundTruth
from skewless.monitoring.served_log.reader import ServedLogReader
from skewless.offline.join.point_in_time import join, request_values, spine_times
from skewless.offline.join.refresh_schedule import RefreshSchedule
from skewless.offline.join.spine import SpineFiles
from skewless.offline.tables.source import TableSource
from skewless.runtime.errors import StepInputMissing
from skewless.runtime.progress import Report, quiet
from skewless.runtime.settings import DEFAULT_JOIN_MEMORY

if TYPE_CHECKING:
    from skewless.project.project import Project

_STEPS = 4


@dataclass(frozen=True, slots=True)
class RetrainOptions:
    """What is trained, on which rows, and when it counts as better: by more than `margin` of logloss with `confidence`.

    With `as_served` training and comparison join as a store on that schedule would have answered.
    """

    model: str
    spine: Path
    label: str
    split: TimeSplit
    parameters: Parameters
    margin: float = 0.0
    confidence: float = 0.95
    as_served: RefreshSchedule | None = None


@dataclass(frozen=True, slots=True)
class RetrainProject:
    """Where things are: the folders, the models, the service's definitions of today, and where any plan's views have
    their tables.
    """

    folders: StateFolders
    registry: ModelRegistry
    definitions: CompiledService
    sources: Callable[[Plan], Mapping[str, TableSource]]
    memory: int = DEFAULT_JOIN_MEMORY

    @classmethod
    def of(cls, work: Project, service: str) -> Self:
        """Raises: NoDefinitions, RegistryUnreadable, InvalidPlan, UnsupportedType, Untraceable."""
        settings = work.settings
        return cls(work.folders, settings.registry, work.service(service), work.sources, settings.join_memory)


class RetrainResult(msgspec.Struct, frozen=True):
    """The verdict: `better` with the `reason`; `live` is None without outcomes, `on_trial` where some are answered with
    it, as a canary.
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
    on_trial: bool = False

    def __str__(self) -> str:
        state = "is a canary" if self.on_trial else "is better" if self.better else "stays a candidate"
        return f"{self.model} {self.candidate} {state} (champion {self.champion}): {self.reason}"

    def lines(self) -> list[str]:
        """The comparison for a terminal."""
        return [str(one) for one in (self.held_out, self.live) if one is not None]


def run(
    project: RetrainProject,
    asked: RetrainOptions,
    *,
    created_at: datetime,
    canary: float | None,
    report: Report = quiet,
) -> RetrainResult:
    """Train, publish a candidate, compare; a better one becomes a canary for the share `canary` of entities (None: no).

    What can be refused beforehand is, and then nothing is written. Raises: StepInputMissing where there is no champion to
    compare with, TrainedElsewhere, InvalidPlan, RolloutRefused, SpineMismatch, SourceMissing, SourceMismatch.
    """
    champion = _challenged(project, asked, canary)
    before, version = champion.manifest.version, _candidate(project, asked, created_at, report)
    report("comparing", 3, _STEPS)
    sides = champion, proven(project.registry, asked.model, version)
    held_out, live = (
        (None, None) if before == version else (_held_out(project, asked, *sides), _live(project, asked, *sides))
    )
    better, reason = verdict(held_out, live, asked.margin)
    found = RetrainResult(
        model=asked.model,
        champion=before,
        candidate=version,
        start=asked.split.start.isoformat(),
        end=asked.split.end.isoformat(),
        margin=asked.margin,
        held_out=held_out,
        live=live,
        better=better,
        reason=reason,
    )
    if better and canary is not None:
        try_out(project.registry, found, canary, created_at)
        return msgspec.structs.replace(found, on_trial=True)
    return found


def _candidate(project: RetrainProject, asked: RetrainOptions, created_at: datetime, report: Report) -> str:
    """Train and publish a candidate that nobody is answered with; its version."""
    split, definitions = asked.split, project.definitions
    folder = project.folders.training / f"{definitions.plan.name}.candidate"
    report("training set", 0, _STEPS)
    rows = SpineFiles(asked.spine, split.start, split.end)
    training_set.run(definitions, rows, folder, as_served=asked.as_served, memory=project.memory)
    report("training", 1, _STEPS)
    opened = TrainingSet(folder)
    train.run(opened, asked.label, split, asked.parameters)
    report("publishing", 2, _STEPS)
    with publishing(project.registry, project.folders.models, asked.model) as models:
        done = publish.run(opened, models, asked.model, created_at=created_at, promote=False)
    return done.manifest.version


def _challenged(project: RetrainProject, asked: RetrainOptions, canary: float | None) -> Bundle:
    """The champion, where a candidate can be trained and compared, and where one may become a canary."""
    champion = proven(project.registry, asked.model, champion_version(project.registry, asked.model))
    of_one_matrix(champion, "retrain")
    plan = project.definitions.plan
    MatrixSignature(plan)
    if canary is not None:
        trial_of(None, asked.model, canary, (), None)
        if not same_request(plan, champion.plan):
            told = f"the service {plan.name} takes other requests than the champion {champion.manifest.version}"
            raise RolloutRefused(
                asked.model, f"{told}; retrain without --canary, or on the service that it was trained on"
            )
    return champion


def verdict(
    held_out: ChallengerComparison | None, live: ChallengerComparison | None, margin: float
) -> tuple[bool, str]:
    """Whether a candidate may be tried, and why."""
    if held_out is None:
        return False, "it is the champion itself, or there are too few held-out rows to tell"
    if not held_out.low > margin:
        return False, f"its gain on the held-out rows is not more than {margin:g} with confidence"
    if live is not None and live.high < 0:
        return False, "it would have been worse on the outcomes of what was served, with confidence"
    return True, f"its gain on the held-out rows is more than {margin:g} with confidence"


def try_out(
    registry: ModelRegistry, found: RetrainResult, weight: float, at: datetime, *, by: str = "skewless retrain"
) -> Rollout:
    """The one place where a better candidate gets requests: a share of the entities, within bounds; the rollout then.

    Raises: RolloutRefused where it takes other requests than the champion or that is another one by now, InvalidBundle.
    """
    trial = trial_of(registry.rollout(found.model), found.candidate, weight, (), None)
    return try_canary(registry, found.model, trial, ChangeAuthor(by, at, found.reason), found.champion)


def _held_out(
    project: RetrainProject, asked: RetrainOptions, champion: Bundle, candidate: Bundle
) -> ChallengerComparison | None:
    spine = training_set.read_spine(asked.spine, asked.split.test, asked.split.end)
    rows, labels = labelled(spine, asked.label)
    then, now = (_scores(project, one, rows, asked.as_served) for one in (champion, candidate))
    return contest("held-out rows", labels, then, now, spine_times(rows), confidence=asked.confidence)


def _live(
    project: RetrainProject, asked: RetrainOptions, champion: Bundle, candidate: Bundle
) -> ChallengerComparison | None:
    """On what the champion served since the candidate's training and validation ended, as far as outcomes are known.

    The candidate is scored on the rows of the store's own history at that time. None where the log lacks an input of it.
    """
    log, version = ServedLogReader(project.folders.served), champion.manifest.version
    try:
        served = log.read(asked.model, version, asked.split.test, datetime.max.replace(tzinfo=asked.split.test.tzinfo))
    except StepInputMissing:
        return None
    labels = GroundTruth(log.folder, asked.model).of(served)
    known = labels == labels  # noqa: PLR0124 - not NaN
    served, labels = served.filter(pa.array(known)), labels[known]
    wanted = {f"entity:{key.name}" for key in candidate.plan.join_keys}
    wanted |= {f"request:{one.name}" for one in candidate.plan.request}
    if not len(served) or wanted - set(served.column_names):
        return None
    rows = spine_of(candidate.plan, served)
    now = _scores(project, candidate, rows, asked.as_served)
    then: Scores = served.column(SCORE).to_numpy()
    return contest("live outcomes", labels, then, now, spine_times(rows), confidence=asked.confidence)


def _scores(project: RetrainProject, bundle: Bundle, rows: pa.Table, as_served: RefreshSchedule | None) -> Scores:
    """What a model would have answered at each row's time."""
    plan, read_at = bundle.plan, None if as_served is None else as_served.filled(spine_times(rows))
    views = join(plan, project.sources(plan), rows, read_at=read_at)
    return one_score(bundle)(bundle.assembler.values(views, request_values(plan, rows)))
