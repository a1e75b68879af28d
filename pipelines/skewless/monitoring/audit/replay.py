"""Replays a served log: the same rows through the point-in-time join, and where the logged values differ from it.

Held by tests/monitoring/audit/test_audit.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from skewless.contract.admission import MISSING, FeatureStatus
from skewless.contract.columns import ColumnValues, Flags
from skewless.contract.model.assembler import AdmittedRows
from skewless.contract.model.bundle import Bundle
from skewless.contract.model.signature import Array, cells, differing, from_columns
from skewless.contract.plan import ColumnSource as PlanSource
from skewless.contract.plan import ModelColumn, Plan, PlanView, StoredFeature
from skewless.contract.timestamp_arrays import UtcMicrosArray
from skewless.offline.join.point_in_time import TIMESTAMP, join, request_values
from skewless.offline.tables.source import TableSource
from skewless.runtime.progress import Report, quiet

_ABSENT = (FeatureStatus.NOT_FOUND, FeatureStatus.STALE)
Scores = NDArray[np.floating]
Arrays = Sequence[Array]
"""One n x names array per column group of a model's signature."""
Positions = NDArray[np.int64]


@dataclass(frozen=True)
class ReplayComparison:
    """n served rows and their replay. `admitted` are the joined rows of each view. `joined` are the model inputs made of
    them, with defaults for views that the server could not read; `complete` are the inputs had every view been read.

    A model input is identified by its position over all column groups, which are laid side by side.
    """

    bundle: Bundle
    served: pa.Table
    admitted: Mapping[str, AdmittedRows]
    logged: Arrays
    joined: Arrays
    complete: Arrays

    @property
    def plan(self) -> Plan:
        return self.bundle.plan

    def features(self, view: PlanView) -> Positions:
        """The positions of a view's features among the model inputs."""
        return self.positions(lambda source: isinstance(source, StoredFeature) and source.view == view.name)

    def positions(self, matches: Callable[[PlanSource], bool]) -> Positions:
        """The positions of the model inputs whose source matches."""
        return np.array([index for index, column in enumerate(self.columns) if matches(column.source)], np.int64)

    @cached_property
    def columns(self) -> tuple[ModelColumn, ...]:
        """The plan's column of each model input, by position."""
        columns = {column.name: column for column in self.plan.columns}
        return tuple(columns[name] for group in self.bundle.signature.inputs for name in group.names)

    def inputs(self, arrays: Arrays) -> list[Array]:
        """The single model inputs of grouped arrays, by position."""
        return [array for _, array in cells(self.bundle.signature.inputs, arrays)]

    @cached_property
    def served_at(self) -> UtcMicrosArray:
        """When each row was served, in microseconds."""
        return micros_of(self.served, "served_at")

    @cached_property
    def scores(self) -> Arrays:
        """The logged scores."""
        return from_columns(self.bundle.signature.outputs, self.served)

    @cached_property
    def rescored(self) -> Arrays:
        """The scores that the model gives for the logged inputs."""
        return self._score(self.logged)

    @cached_property
    def joined_scores(self) -> Arrays:
        """The scores of the joined inputs, had every view been read."""
        return self._score(self.complete)

    def _score(self, inputs: Arrays) -> Arrays:
        signature = self.bundle.signature
        return signature.output_arrays(self.bundle.score(signature.from_arrays(inputs)))

    @cached_property
    def score_shift(self) -> NDArray[np.float64]:
        """The distance of each row's logged score from its joined score; the mean over the scores where a model has
        several. Texts that differ, and numbers whose difference is not finite, count as 1.
        """
        groups = self.bundle.signature.outputs
        pairs = zip(cells(groups, self.scores), cells(groups, self.joined_scores), strict=True)
        shift: NDArray[np.float64] = np.mean([_distance(logged, joined) for (_, logged), (_, joined) in pairs], axis=0)
        return shift

    @cached_property
    def wrong(self) -> Flags:
        """N x model inputs: which logged values differ from the joined ones in any bit."""
        return differ(self.logged, self.joined)

    @cached_property
    def wrong_scores(self) -> Flags:
        """Rows whose logged score is not the score of their logged input."""
        return np.asarray(differ(self.scores, self.rescored).any(axis=1))

    @cached_property
    def wrong_statuses(self) -> dict[str, Flags]:
        """By view, the rows whose logged status is not the joined one. For a row that may have been removed from the store
        NOT_FOUND and STALE count as equal.
        """
        return {view.name: self._status_differs(view) for view in self.plan.views}

    def _status_differs(self, view: PlanView) -> Flags:
        logged, joined = self.status(view), self.admitted[view.name].status
        removable = view.rule.removable(self.admitted[view.name].rows.event, self.served_at)
        # After a tombstone is removed, a late row that is older still may take its place.
        removed = np.isin(logged, _ABSENT) & np.isin(joined, _ABSENT) & removable
        different: Flags = (logged != joined) & ~removed & ~self.unread(view)
        return different

    def status(self, view: PlanView) -> NDArray[np.uint8]:
        """The logged statuses of a view."""
        status: NDArray[np.uint8] = self.served.column(f"{view.name}:status").to_numpy()
        return status

    def unread(self, view: PlanView) -> Flags:
        """Rows that were served defaults for a view, because the online store failed."""
        unread: Flags = self.status(view) == FeatureStatus.NOT_READ
        return unread

    def times(self, view: PlanView) -> tuple[UtcMicrosArray, UtcMicrosArray]:
        """Event and created time of the logged row in microseconds; MISSING where the view had no row."""
        kinds = ("event_timestamp", "created_timestamp")
        event, created = (micros_of(self.served, f"{view.name}:{kind}") for kind in kinds)
        return event, created

    @cached_property
    def any_wrong(self) -> Flags:
        """Rows in which any value, status or score differs."""
        wrong: Flags = np.logical_or.reduce([self.wrong.any(axis=1), self.wrong_scores, *self.wrong_statuses.values()])
        return wrong


def compare(
    bundle: Bundle, sources: Mapping[str, TableSource], served: pa.Table, report: Report = quiet
) -> ReplayComparison:
    """Join the served rows again, each as of its `served_at`. Raises: SourceMissing, SourceMismatch."""
    plan = bundle.plan
    spine = spine_of(plan, served)
    admitted = join(plan, sources, spine, report=report)
    request = request_values(plan, spine)
    read = {name: _as_read(rows, served.column(f"{name}:status").to_numpy()) for name, rows in admitted.items()}
    joined = _model_inputs(bundle, read, request)
    unread = any((rows.status == FeatureStatus.NOT_READ).any() for rows in read.values())
    complete = _model_inputs(bundle, admitted, request) if unread else joined
    return ReplayComparison(bundle, served, admitted, from_columns(bundle.signature.inputs, served), joined, complete)


def _model_inputs(bundle: Bundle, views: Mapping[str, AdmittedRows], request: Mapping[str, ColumnValues]) -> Arrays:
    """The model inputs made of joined rows and request values."""
    return bundle.signature.input_arrays(bundle.inputs(bundle.assembler.values(views, request)))


def _as_read(joined: AdmittedRows, statuses: NDArray[np.uint8]) -> AdmittedRows:
    """The joined rows of a view, with status NOT_READ where the server could not read it."""
    return AdmittedRows(
        joined.rows, np.where(statuses == FeatureStatus.NOT_READ, np.uint8(FeatureStatus.NOT_READ), joined.status)
    )


def spine_of(plan: Plan, served: pa.Table) -> pa.Table:
    """The served rows as a spine: keys and request inputs under their own names, `served_at` as the time."""
    columns = {TIMESTAMP: served.column("served_at")}
    columns |= {key.name: served.column(f"entity:{key.name}") for key in plan.join_keys}
    columns |= {request.name: served.column(f"request:{request.name}") for request in plan.request}
    return pa.table(columns)


def differ(logged: Arrays, replayed: Arrays) -> Flags:
    """N x values of all groups: where they differ, numbers in any bit."""
    return np.concatenate([differing(left, right) for left, right in zip(logged, replayed, strict=True)], axis=1)


def format_value(value: object) -> str:
    """A value for a report: a number in the fewest digits that distinguish it from its neighbours, a text in quotes."""
    return repr(value) if isinstance(value, str) else str(value)


def _distance(logged: Array, joined: Array) -> Array:
    unequal = differing(logged, joined).astype(np.float64)
    if logged.dtype.kind == "O":
        return unequal
    with np.errstate(invalid="ignore"):
        gap = np.abs(logged.astype(np.float64) - joined.astype(np.float64))
    return np.where(np.isfinite(gap), gap, unequal)


def micros_of(served: pa.Table, column: str) -> UtcMicrosArray:
    """A time column of the served log in microseconds; MISSING where it is null."""
    times: UtcMicrosArray = served.column(column).cast(pa.int64()).fill_null(MISSING).to_numpy()
    return times
