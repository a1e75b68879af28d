"""The audit: served predictions are replayed through the point-in-time join and compared bit for bit.

Every served row becomes a spine row at its `served_at`. The model input that the join gives for it must equal the logged
input, and the model must give the logged score for the logged input.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime

import msgspec
import numpy as np

from skewless.contract.admission import FeatureStatus
from skewless.contract.model.bundle import Bundle
from skewless.contract.model.signature import MatrixSignature, cells
from skewless.contract.storage.served_row import Role
from skewless.model.training.model_metrics import ModelPerformance
from skewless.monitoring.audit.attribution import Attribution, CausedDifferences
from skewless.monitoring.audit.evidence import AuditEvidence
from skewless.monitoring.audit.replay import ReplayComparison, compare, differ, format_value
from skewless.monitoring.audit.score_impact import Labels, ScoreImpact, score_impact
from skewless.monitoring.audit.timeline import DifferenceTimeline, timeline
from skewless.monitoring.served_log.ground_truth import GroundTruth
from skewless.monitoring.served_log.reader import ServedLogReader
from skewless.runtime.progress import Report, quiet

_EXAMPLES = 5
"""At most so many for each kind of difference and view."""


class AuditResult(msgspec.Struct, frozen=True):
    """The result of auditing one model version. `values` counts the model inputs compared; `columns` and `views` count the
    differing inputs by column and the differing statuses by view; `examples` show the served and the joined value.

    `causes` attributes each difference to exactly one cause; `score_impact` is what the differences did to the scores, and
    `live` the performance of the served scores where outcomes are known.

    `unread_views` counts views that the server could not read because the online store failed; they are replayed as unread,
    and `unread_values` counts the model inputs that were defaults because of it.
    """

    model: str
    version: str
    start: str
    end: str
    rows: int
    compared_views: int
    values: int
    differing_values: int
    differing_statuses: int
    differing_scores: int
    columns: dict[str, int]
    views: dict[str, int]
    examples: list[str]
    unread_views: int = 0
    unread_values: int = 0
    timeline: DifferenceTimeline = DifferenceTimeline()
    causes: tuple[CausedDifferences, ...] = ()
    score_impact: ScoreImpact | None = msgspec.field(default=None, name="price")
    role: Role | None = None

    @property
    def live(self) -> ModelPerformance | None:
        """The performance of the served scores against the outcomes; None without outcomes."""
        return self.score_impact.served if self.score_impact else None

    @property
    def clean(self) -> bool:
        """Whether everything served equals the training value, or is the default where the store had failed."""
        return not (self.differing_values or self.differing_statuses or self.differing_scores)

    def __str__(self) -> str:
        of = f"{self.model} {self.version}{f' as {self.role}' if self.role else ''}"
        return (
            f"{of}: {self.differing_values} of {self.values} feature values differ, "
            f"{self.differing_statuses} of {self.rows * self.compared_views} statuses differ, "
            f"{self.differing_scores} of {self.rows} scores differ{self._unread}"
        )

    @property
    def _unread(self) -> str:
        if not self.unread_views:
            return ""
        return (
            f"; {self.unread_views} views were not read because the online store failed, and {self.unread_values} "
            "feature values were defaults for it"
        )


def run(
    bundle: Bundle,
    evidence: AuditEvidence,
    log: ServedLogReader,
    start: datetime,
    end: datetime,
    *,
    role: Role | None = None,
    report: Report = quiet,
) -> AuditResult:
    """Replay what `bundle` served in [start, end), in `role` or (None) any role, and attribute each difference to a cause.

    Raises: StepInputMissing, SourceMissing, SourceMismatch.
    """
    manifest, plan = bundle.manifest, bundle.plan
    served = log.read(manifest.name, manifest.version, start, end, role)
    compared = compare(bundle, evidence.sources, served, report)
    labels = GroundTruth(log.folder, manifest.name).labels_of(served)
    wrong, unread = compared.wrong, sum(int(np.count_nonzero(compared.unread(view))) for view in plan.views)
    statuses = {view: int(np.count_nonzero(differing)) for view, differing in compared.wrong_statuses.items()}
    return AuditResult(
        model=manifest.name,
        version=manifest.version,
        start=start.isoformat(),
        end=end.isoformat(),
        rows=len(served),
        compared_views=len(plan.views),
        values=int(wrong.size),
        differing_values=int(wrong.sum()),
        differing_statuses=sum(statuses.values()),
        differing_scores=int(np.count_nonzero(compared.wrong_scores)),
        columns=_by_column(compared),
        views={view: count for view, count in statuses.items() if count},
        examples=_examples(compared),
        unread_views=unread,
        unread_values=int(np.count_nonzero(differ(compared.complete, compared.joined))),
        timeline=timeline(compared.served_at, compared.any_wrong),
        causes=tuple(Attribution(compared, evidence).causes()),
        score_impact=_score_impact(compared, labels),
        role=role,
    )


def _by_column(compared: ReplayComparison) -> dict[str, int]:
    """How many values of each column differ; several model inputs may use one column."""
    counts: Counter[str] = Counter()
    for column, wrong in zip(compared.columns, compared.wrong.sum(axis=0).tolist(), strict=True):
        counts[column.name] += wrong
    return {name: count for name, count in counts.items() if count}


def _score_impact(compared: ReplayComparison, labels: Labels) -> ScoreImpact | None:
    """What the differences did to the scores; None for a model with named outputs, which outcomes do not label."""
    if not isinstance(compared.bundle.signature, MatrixSignature):
        return None
    (scores,), (joined,) = compared.scores, compared.joined_scores
    return score_impact(scores[:, 0], joined[:, 0], labels)


def _examples(compared: ReplayComparison) -> list[str]:
    """Some differing values, statuses and scores of each kind."""
    plan, (logged, joined) = compared.plan, map(compared.inputs, (compared.logged, compared.joined))
    examples = []
    for row, column in np.argwhere(compared.wrong)[:_EXAMPLES].tolist():
        then, now = format_value(logged[column][row]), format_value(joined[column][row])
        examples.append(_example(compared, row, compared.columns[column].name, then, f"the join gives {now}"))
    for view in plan.views:
        logged_statuses, statuses = compared.status(view), compared.admitted[view.name].status
        for row in np.flatnonzero(compared.wrong_statuses[view.name])[:_EXAMPLES].tolist():
            then, now = (FeatureStatus(status).name for status in (logged_statuses[row], statuses[row]))
            examples.append(_example(compared, row, f"feature view {view.name}", then, f"the join gives {now}"))
    (scores, rescored), groups = (compared.scores, compared.rescored), compared.bundle.signature.outputs
    for row, index in np.argwhere(differ(scores, rescored))[:_EXAMPLES].tolist():
        (name, score), (_, again) = (cells(groups, arrays)[index] for arrays in (scores, rescored))
        then, now = format_value(score[row]), format_value(again[row])
        examples.append(_example(compared, row, f"the {name}", then, f"the logged input scores {now}"))
    return examples


def _example(compared: ReplayComparison, row: int, what: str, served: str, replayed: str) -> str:
    request, number, at = (compared.served.column(name)[row] for name in ("request_id", "row", "served_at"))
    return f"request {request} row {number} at {at}: {what} was served as {served} and {replayed}"
