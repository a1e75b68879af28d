"""Attributes each difference of an audit to exactly one cause: served values and statuses by feature view, computed values
by the view that their transform reads (otherwise by the transform itself), and scores on their own.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from skewless.contract.admission import MISSING, FeatureStatus
from skewless.contract.columns import Flags
from skewless.contract.model.signature import cells, differing
from skewless.contract.plan import Plan, PlanView, RequestInput, StoredFeature, TransformOutput
from skewless.contract.timestamps import from_micros
from skewless.monitoring.audit.causes import SkewCause, decide
from skewless.monitoring.audit.evidence import AuditEvidence, gather
from skewless.monitoring.audit.replay import Arrays, Positions, ReplayComparison, differ, format_value

_EXAMPLES = 3
SCORES, REQUEST = "(score)", "(request)"
"""Take the place of a view's name for differences that belong to no view."""
Causes = NDArray[np.object_]


class CausedDifferences(msgspec.Struct, frozen=True):
    """The differences that one cause made in one view: counts of served rows, model inputs and statuses. `score_shift` is the
    mean distance of these rows' scores from the scores of the joined values.
    """

    cause: str
    view: str
    rows: int
    values: int
    statuses: int
    score_shift: float = msgspec.field(name="moved")
    examples: tuple[str, ...]


@dataclass(slots=True)
class _CauseTally:
    rows: Flags
    values: int = 0
    statuses: int = 0


class Attribution:
    """Counts the differences of one comparison by cause and view."""

    def __init__(self, compared: ReplayComparison, evidence: AuditEvidence) -> None:
        self._compared = compared
        self._tallies: dict[tuple[SkewCause, str], _CauseTally] = {}
        self._by_view = {view.name: self._attribute_view(view, evidence) for view in compared.plan.views}
        self._attribute_computed()
        self._attribute_request_and_scores()
        self._attribute_defaults()

    def causes(self) -> list[CausedDifferences]:
        """The differences by cause, in the order of `SkewCause`, then by view, the most rows first."""
        order = list(SkewCause)
        keyed = sorted(self._tallies.items(), key=lambda item: (order.index(item[0][0]), -int(item[1].rows.sum())))
        return [self._summary(cause, view, tally) for (cause, view), tally in keyed]

    def _summary(self, cause: SkewCause, view: str, tally: _CauseTally) -> CausedDifferences:
        rows = np.flatnonzero(tally.rows)
        shift = float(self._compared.score_shift[rows].mean())
        examples = tuple(self._example(cause, view, row) for row in rows[:_EXAMPLES].tolist())
        return CausedDifferences(str(cause), view, len(rows), tally.values, tally.statuses, shift, examples)

    def _attribute_view(self, view: PlanView, evidence: AuditEvidence) -> Causes:
        """Count the differences of a view's own values and statuses; the cause of each of the n rows, None where the view
        does not differ.
        """
        compared = self._compared
        own = compared.wrong[:, compared.features(view)].sum(axis=1)
        statuses = compared.wrong_statuses[view.name]
        computed = compared.wrong[:, _computed_from(compared, view)].any(axis=1)
        suspect = (own > 0) | statuses | (computed & self._other_row(view))
        rows = np.flatnonzero(suspect)
        causes = np.full(len(suspect), None, np.object_)
        if len(rows):
            causes[rows] = decide(gather(compared, view, rows, evidence))
        for cause in set(causes[rows]):
            matched = causes == cause
            self._count(cause, view.name, matched, int(own[matched].sum()), int(statuses[matched].sum()))
        return causes

    def _other_row(self, view: PlanView) -> Flags:
        """Where the view was read and another row was served than is joined."""
        joined = self._compared.admitted[view.name].rows
        event, created = self._compared.times(view)
        other: Flags = ((event != joined.event) | (created != joined.created)) & ~self._compared.unread(view)
        return other

    def _attribute_computed(self) -> None:
        """Attribute each differing computed value to the first differing view that its transform reads."""
        plan, wrong = self._compared.plan, self._compared.wrong
        for position, column in enumerate(self._compared.columns):
            if not isinstance(column.source, TransformOutput):
                continue
            unexplained = wrong[:, position].copy()
            for view in _views_read(plan, column.source.transform):
                causes = self._by_view[view]
                for cause in {cause for cause in causes[unexplained] if cause is not None}:
                    matched = unexplained & (causes == cause)
                    self._count(cause, view, matched, int(matched.sum()))
                    unexplained &= ~matched
            self._count(SkewCause.TRANSFORM, column.source.transform, unexplained, int(unexplained.sum()))

    def _attribute_request_and_scores(self) -> None:
        """Attribute differing request inputs, which the log stores twice, and differing scores."""
        compared = self._compared
        positions = compared.positions(lambda source: isinstance(source, RequestInput))
        request = compared.wrong[:, positions].sum(axis=1)
        self._count(SkewCause.CORRUPTION, REQUEST, request > 0, int(request.sum()))
        self._count(SkewCause.SCORE, SCORES, compared.wrong_scores)

    def _attribute_defaults(self) -> None:
        """Count the views that the server could not read, and the values that were defaults because of it."""
        compared, plan = self._compared, self._compared.plan
        defaulted = differ(compared.complete, compared.joined)
        for view in plan.views:
            unread = compared.unread(view)
            affected = np.ix_(np.flatnonzero(unread), self._positions(view.name))
            self._count(SkewCause.DEFAULT_USED, view.name, unread, int(defaulted[affected].sum()))
            defaulted[affected] = False

    def _count(self, cause: SkewCause, view: str, rows: Flags, values: int = 0, statuses: int = 0) -> None:
        if rows.any():
            tally = self._tallies.setdefault((cause, view), _CauseTally(np.zeros(len(rows), bool)))
            tally.rows |= rows
            tally.values += values
            tally.statuses += statuses

    def _example(self, cause: SkewCause, view: str, row: int) -> str:
        """Describe a served row: which row of the view was served, which is joined, and a value that differs."""
        compared = self._compared
        request, number, at = (compared.served.column(name)[row] for name in ("request_id", "row", "served_at"))
        prefix = f"request {request} row {number} at {at}"
        if view == SCORES:
            return f"{prefix}: {self._differing_score(row)}"
        inputs = compared.complete if cause == SkewCause.DEFAULT_USED else compared.joined
        value = self._differing_value(row, self._positions(view), inputs)
        if view not in self._by_view:
            return f"{prefix}: {value}"
        plan_view, joined = compared.plan.view(view), compared.admitted[view]
        keys = ", ".join(str(compared.served.column(f"entity:{key.name}")[row]) for key in plan_view.join_keys)
        status = FeatureStatus(int(compared.status(plan_view)[row]))
        served = _row(status, *(times[row] for times in compared.times(plan_view)))
        now = _row(FeatureStatus(int(joined.status[row])), joined.rows.event[row], joined.rows.created[row])
        return f"{prefix}: {view} of {keys} was served {served}; the join uses {now}" + (f": {value}" if value else "")

    def _positions(self, view: str) -> Positions:
        """The positions of the model inputs that come from a view, a transform or the request."""
        compared = self._compared
        if view in self._by_view:
            plan_view = compared.plan.view(view)
            return np.concatenate([compared.features(plan_view), _computed_from(compared, plan_view)])
        if view == REQUEST:
            return compared.positions(lambda source: isinstance(source, RequestInput))
        return compared.positions(lambda source: isinstance(source, TransformOutput) and source.transform == view)

    def _differing_value(self, row: int, positions: Positions, expected: Arrays) -> str:
        """The first of some model inputs that differs in a row; empty where none does."""
        compared = self._compared
        logged, joined = compared.inputs(compared.logged), compared.inputs(expected)
        wrong = [index for index in positions.tolist() if differing(logged[index][[row]], joined[index][[row]]).any()]
        if not wrong:
            return ""
        name, *values = compared.columns[wrong[0]].name, logged[wrong[0]][row], joined[wrong[0]][row]
        return f"{name} {format_value(values[0])} instead of {format_value(values[1])}"

    def _differing_score(self, row: int) -> str:
        """The first logged score of a row that is not the score of its logged input."""
        compared, groups = self._compared, self._compared.bundle.signature.outputs
        pairs = zip(cells(groups, compared.scores), cells(groups, compared.rescored), strict=True)
        return next(
            f"the {name} {format_value(logged[row])} instead of {format_value(rescored[row])}"
            for (name, logged), (_, rescored) in pairs
            if differing(logged[[row]], rescored[[row]]).any()
        )


def _row(status: FeatureStatus, event: np.int64, created: np.int64) -> str:
    if event == MISSING:
        return f"{status.name}, no row"
    known = "" if created == event else f", known {_instant(created)}"
    return f"{status.name}, the row of {_instant(event)}{known}"


def _instant(micros: np.int64) -> str:
    return f"{from_micros(int(micros)):%Y-%m-%d %H:%M:%S}"


def _computed_from(compared: ReplayComparison, view: PlanView) -> Positions:
    """The positions of the computed values whose transform reads a feature of the view."""
    return compared.positions(
        lambda source: isinstance(source, TransformOutput) and view.name in _views_read(compared.plan, source.transform)
    )


def _views_read(plan: Plan, transform: str) -> list[str]:
    """The views whose features a transform reads, in the plan's order."""
    (match,) = [candidate for candidate in plan.transforms if candidate.name == transform]
    read = {source.view for _, source in match.inputs if isinstance(source, StoredFeature)}
    return [view.name for view in plan.views if view.name in read]
