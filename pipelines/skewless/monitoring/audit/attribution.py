"""Gives each difference of an audit its one cause: served values and statuses by feature view, computed values by the
view that their transform takes (else by the transform itself), scores by themselves.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from skewless.contract.admission import MISSING, FeatureStatus, Flags
from skewless.contract.model.signature import cells, differing
from skewless.contract.plan import Plan, PlanView, RequestInput, StoredFeature, TransformOutput
from skewless.contract.timestamps import from_micros
from skewless.monitoring.audit.causes import SkewCause, decide
from skewless.monitoring.audit.evidence import AuditEvidence, gather
from skewless.monitoring.audit.replay import Arrays, Places, ReplayComparison, differ, plain

_EXAMPLES = 3
SCORES, REQUEST = "(score)", "(request)"
"""What stands for a view where a difference is in none."""
Causes = NDArray[np.object_]


class CausedDifferences(msgspec.Struct, frozen=True):
    """What one cause did to one view: served rows, model inputs and statuses; `moved` is by how much the scores of those
    rows are off in the mean.
    """

    cause: str
    view: str
    rows: int
    values: int
    statuses: int
    moved: float
    examples: tuple[str, ...]


@dataclass(slots=True)
class _CauseTally:
    rows: Flags
    values: int = 0
    statuses: int = 0


class Attribution:
    """The tallies by cause and view of one comparison."""

    def __init__(self, compared: ReplayComparison, clues: AuditEvidence) -> None:
        self._compared = compared
        self._tallies: dict[tuple[SkewCause, str], _CauseTally] = {}
        self._by_view = {view.name: self._view(view, clues) for view in compared.plan.views}
        self._computed()
        self._rest()
        self._defaults()

    def causes(self) -> list[CausedDifferences]:
        """By cause, in its order, and view; the most rows first."""
        order = list(SkewCause)
        keyed = sorted(self._tallies.items(), key=lambda one: (order.index(one[0][0]), -int(one[1].rows.sum())))
        return [self._told(cause, view, tally) for (cause, view), tally in keyed]

    def _told(self, cause: SkewCause, view: str, tally: _CauseTally) -> CausedDifferences:
        rows = np.flatnonzero(tally.rows)
        moved = self._compared.moved[rows]
        told = tuple(self._example(cause, view, row) for row in rows[:_EXAMPLES].tolist())
        return CausedDifferences(str(cause), view, len(rows), tally.values, tally.statuses, float(moved.mean()), told)

    def _view(self, view: PlanView, clues: AuditEvidence) -> Causes:
        """The cause for each of the n rows, None where the view is as it should be; counts what is the view's own."""
        compared = self._compared
        own = compared.wrong[:, compared.features(view)].sum(axis=1)
        statuses = compared.wrong_statuses[view.name]
        suspect = (
            (own > 0) | statuses | (compared.wrong[:, _taking(compared, view)].any(axis=1) & self._other_row(view))
        )
        rows = np.flatnonzero(suspect)
        causes = np.full(len(suspect), None, np.object_)
        if len(rows):
            causes[rows] = decide(gather(compared, view, rows, clues))
        for cause in set(causes[rows]):
            hit = causes == cause
            self._count(cause, view.name, hit, int(own[hit].sum()), int(statuses[hit].sum()))
        return causes

    def _other_row(self, view: PlanView) -> Flags:
        """Where another row was served than is joined, as far as the view was read."""
        joined = self._compared.found[view.name].rows
        event, created = self._compared.times(view)
        other: Flags = ((event != joined.event) | (created != joined.created)) & ~self._compared.unread(view)
        return other

    def _computed(self) -> None:
        """A computed value that differs is due to the first view that its transform takes and that differs."""
        plan, wrong = self._compared.plan, self._compared.wrong
        for place, column in enumerate(self._compared.columns):
            if not isinstance(column.source, TransformOutput):
                continue
            left = wrong[:, place].copy()
            for view in _inputs(plan, column.source.transform):
                causes = self._by_view[view]
                for cause in {one for one in causes[left] if one is not None}:
                    hit = left & (causes == cause)
                    self._count(cause, view, hit, int(hit.sum()))
                    left &= ~hit
            self._count(SkewCause.TRANSFORM, column.source.transform, left, int(left.sum()))

    def _rest(self) -> None:
        """Request inputs, which the log holds twice, and scores."""
        compared = self._compared
        places = compared.places(lambda source: isinstance(source, RequestInput))
        request = compared.wrong[:, places].sum(axis=1)
        self._count(SkewCause.CORRUPTION, REQUEST, request > 0, int(request.sum()))
        self._count(SkewCause.SCORE, SCORES, compared.wrong_scores)

    def _defaults(self) -> None:
        """Views that the server could not read, and the values that it would have used otherwise."""
        compared, plan = self._compared, self._compared.plan
        lost = differ(compared.whole, compared.joined)
        for view in plan.views:
            unread = compared.unread(view)
            places = np.concatenate([compared.features(view), _taking(compared, view)])
            cells = np.ix_(np.flatnonzero(unread), places)
            self._count(SkewCause.DEFAULT_USED, view.name, unread, int(lost[cells].sum()))
            lost[cells] = False

    def _count(self, cause: SkewCause, view: str, rows: Flags, values: int = 0, statuses: int = 0) -> None:
        if rows.any():
            tally = self._tallies.setdefault((cause, view), _CauseTally(np.zeros(len(rows), bool)))
            tally.rows |= rows
            tally.values += values
            tally.statuses += statuses

    def _example(self, cause: SkewCause, view: str, row: int) -> str:
        """A served row: which row of the view was served and is joined, and a value that differs for it."""
        compared = self._compared
        request, place, at = (compared.served.column(name)[row] for name in ("request_id", "row", "served_at"))
        told = f"request {request} row {place} at {at}"
        if view == SCORES:
            return f"{told}: {self._score(row)}"
        value = self._value(
            row, self._places(view), compared.whole if cause == SkewCause.DEFAULT_USED else compared.joined
        )
        if view not in self._by_view:
            return f"{told}: {value}"
        asked, joined = compared.plan.view(view), compared.found[view]
        keys = ", ".join(str(compared.served.column(f"entity:{key.name}")[row]) for key in asked.join_keys)
        served = _row(FeatureStatus(int(compared.status(asked)[row])), *(times[row] for times in compared.times(asked)))
        now = _row(FeatureStatus(int(joined.status[row])), joined.rows.event[row], joined.rows.created[row])
        return f"{told}: {view} of {keys} was served {served}; the join uses {now}" + (f": {value}" if value else "")

    def _places(self, view: str) -> Places:
        """The places of the model inputs that a view, a transform or the request gives."""
        compared = self._compared
        if view in self._by_view:
            asked = compared.plan.view(view)
            return np.concatenate([compared.features(asked), _taking(compared, asked)])
        if view == REQUEST:
            return compared.places(lambda one: isinstance(one, RequestInput))
        return compared.places(lambda one: isinstance(one, TransformOutput) and one.transform == view)

    def _value(self, row: int, places: Places, now: Arrays) -> str:
        """The first of some model inputs that differs in a row; nothing where none does."""
        compared = self._compared
        logged, fair = compared.inputs(compared.logged), compared.inputs(now)
        wrong = [place for place in places.tolist() if differing(logged[place][[row]], fair[place][[row]]).any()]
        if not wrong:
            return ""
        name, *values = compared.columns[wrong[0]].name, logged[wrong[0]][row], fair[wrong[0]][row]
        return f"{name} {plain(values[0])} instead of {plain(values[1])}"

    def _score(self, row: int) -> str:
        """The first score of a row that is not the one of its logged input."""
        compared = self._compared
        pairs = zip(*(cells(compared.bundle.form.told, of) for of in (compared.scores, compared.rescored)), strict=True)
        return next(
            f"the {name} {plain(then[row])} instead of {plain(now[row])}"
            for (name, then), (_, now) in pairs
            if differing(then[[row]], now[[row]]).any()
        )


def _row(status: FeatureStatus, event: np.int64, created: np.int64) -> str:
    if event == MISSING:
        return f"{status.name}, no row"
    known = "" if created == event else f", known {_instant(created)}"
    return f"{status.name}, the row of {_instant(event)}{known}"


def _instant(micros: np.int64) -> str:
    return f"{from_micros(int(micros)):%Y-%m-%d %H:%M:%S}"


def _taking(compared: ReplayComparison, view: PlanView) -> Places:
    """The places of the computed values whose transform takes a feature of the view."""
    plan = compared.plan
    return compared.places(lambda one: isinstance(one, TransformOutput) and view.name in _inputs(plan, one.transform))


def _inputs(plan: Plan, transform: str) -> list[str]:
    """The views that a transform takes features of, in the plan's order."""
    (found,) = [one for one in plan.transforms if one.name == transform]
    taken = {source.view for _, source in found.inputs if isinstance(source, StoredFeature)}
    return [view.name for view in plan.views if view.name in taken]
