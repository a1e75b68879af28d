"""The audit: served predictions replayed through the point-in-time join, compared bit for bit.

Every served row becomes a spine row at its `served_at`; the model input that the join gives for it must be the logged
one, and the logged input must score to the logged score.
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
from skewless.monitoring.audit.replay import ReplayComparison, compare, differ, plain
from skewless.monitoring.audit.score_impact import Labels, ScoreImpact, price
from skewless.monitoring.audit.timeline import DifferenceTimeline, timeline
from skewless.monitoring.served_log.ground_truth import GroundTruth
from skewless.monitoring.served_log.reader import ServedLogReader
from skewless.runtime.progress import Report, quiet

_EXAMPLES = 5
"""Of each kind of difference and view."""


class AuditResult(msgspec.Struct, frozen=True):
    """What an audit of one model version found. `values` are the model inputs compared; counts of differing ones by
    column, of view statuses by view, and examples with the served and the joined value.

    `causes` gives each of them exactly one cause; `price` is what they did to the scores, and `live` how well those told
    the outcomes that are known.

    `unread_views` are those that the server did not get to read, since the online store failed; they are replayed as
    unread, and `unread_values` are the model inputs that would have been others.
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
    price: ScoreImpact | None = None
    role: Role | None = None

    @property
    def live(self) -> ModelPerformance | None:
        """How well the served scores told what came to pass; None without outcomes."""
        return self.price.served if self.price else None

    @property
    def clean(self) -> bool:
        """Whether everything served was the training value, or the default where the store had failed."""
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
    known: AuditEvidence,
    log: ServedLogReader,
    start: datetime,
    end: datetime,
    *,
    role: Role | None = None,
    report: Report = quiet,
) -> AuditResult:
    """Replay what `bundle` served in [start, end), in any role or in one, compare, and name the cause of each difference.

    Raises: StepInputMissing, SourceMissing, SourceMismatch.
    """
    manifest, plan = bundle.manifest, bundle.plan
    served = log.read(manifest.name, manifest.version, start, end, role)
    compared = compare(bundle, known.sources, served, report)
    labels = GroundTruth(log.folder, manifest.name).of(served)
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
        unread_values=int(np.count_nonzero(differ(compared.whole, compared.joined))),
        timeline=timeline(compared.at, compared.any_wrong),
        causes=tuple(Attribution(compared, known).causes()),
        price=_price(compared, labels),
        role=role,
    )


def _by_column(compared: ReplayComparison) -> dict[str, int]:
    """How many values of each column differ; several inputs of a model may take one."""
    counts: Counter[str] = Counter()
    for column, wrong in zip(compared.columns, compared.wrong.sum(axis=0).tolist(), strict=True):
        counts[column.name] += wrong
    return {name: count for name, count in counts.items() if count}


def _price(compared: ReplayComparison, labels: Labels) -> ScoreImpact | None:
    """What the differences did to the scores; None where a model has named outputs, which no outcome tells of."""
    if not isinstance(compared.bundle.form, MatrixSignature):
        return None
    (scores,), (fair,) = compared.scores, compared.fair
    return price(scores[:, 0], fair[:, 0], labels)


def _examples(compared: ReplayComparison) -> list[str]:
    """Differing values, statuses and scores, some of each."""
    plan, (logged, joined) = compared.plan, map(compared.inputs, (compared.logged, compared.joined))
    told = []
    for row, column in np.argwhere(compared.wrong)[:_EXAMPLES].tolist():
        then, now = plain(logged[column][row]), plain(joined[column][row])
        told.append(_example(compared, row, compared.columns[column].name, then, f"the join gives {now}"))
    for view in plan.views:
        statuses, found = compared.status(view), compared.found[view.name].status
        for row in np.flatnonzero(compared.wrong_statuses[view.name])[:_EXAMPLES].tolist():
            then, now = (FeatureStatus(status).name for status in (statuses[row], found[row]))
            told.append(_example(compared, row, f"feature view {view.name}", then, f"the join gives {now}"))
    (scores, rescored), form = (compared.scores, compared.rescored), compared.bundle.form
    for row, place in np.argwhere(differ(scores, rescored))[:_EXAMPLES].tolist():
        (name, then), (_, now) = (cells(form.told, of)[place] for of in (scores, rescored))
        told.append(
            _example(compared, row, f"the {name}", plain(then[row]), f"the logged input scores {plain(now[row])}")
        )
    return told


def _example(compared: ReplayComparison, row: int, what: str, then: str, now: str) -> str:
    request, place, at = (compared.served.column(name)[row] for name in ("request_id", "row", "served_at"))
    return f"request {request} row {place} at {at}: {what} was served as {then} and {now}"
