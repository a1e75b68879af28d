"""A served log beside the point-in-time join of the same rows: what was used, what the join gives, where they differ."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from skewless.contract.admission import MISSING, FeatureStatus, Flags
from skewless.contract.columns import ColumnValues
from skewless.contract.model.assembler import AdmittedRows
from skewless.contract.model.bundle import Bundle
from skewless.contract.model.signature import Array, cells, differing, from_columns
from skewless.contract.plan import ColumnSource as PlanSource
from skewless.contract.plan import ModelColumn, Plan, PlanView, StoredFeature
from skewless.contract.timestamps import UtcMicrosArray
from skewless.offline.join.point_in_time import TIMESTAMP, join, request_values
from skewless.offline.tables.source import TableSource
from skewless.runtime.progress import Report, quiet

_GONE = (FeatureStatus.NOT_FOUND, FeatureStatus.STALE)
Scores = NDArray[np.floating]
Arrays = Sequence[Array]
"""By group of a model's form, n x names."""
Places = NDArray[np.int64]


@dataclass(frozen=True)
class ReplayComparison:
    """n served rows. `found` is what the join gives for each view; `joined` the model inputs that it makes, defaults
    where the server could not read a view, and `whole` those had everything been read.

    A model input is known by its place: groups stand side by side.
    """

    bundle: Bundle
    served: pa.Table
    found: Mapping[str, AdmittedRows]
    logged: Arrays
    joined: Arrays
    whole: Arrays

    @property
    def plan(self) -> Plan:
        return self.bundle.plan

    def features(self, view: PlanView) -> Places:
        """The places of a view's features among the model inputs."""
        return self.places(lambda source: isinstance(source, StoredFeature) and source.view == view.name)

    def places(self, wanted: Callable[[PlanSource], bool]) -> Places:
        """The places of some model inputs, by where they come from."""
        return np.array([place for place, one in enumerate(self.columns) if wanted(one.source)], np.int64)

    @cached_property
    def columns(self) -> tuple[ModelColumn, ...]:
        """The plan's column of each model input, by place."""
        columns = {column.name: column for column in self.plan.columns}
        return tuple(columns[name] for group in self.bundle.form.taken for name in group.names)

    def inputs(self, of: Arrays) -> list[Array]:
        """Model inputs one by one, by place."""
        return [array for _, array in cells(self.bundle.form.taken, of)]

    @cached_property
    def at(self) -> UtcMicrosArray:
        """When each row was served."""
        return micros_of(self.served, "served_at")

    @cached_property
    def scores(self) -> Arrays:
        """The scores that were logged."""
        return from_columns(self.bundle.form.told, self.served)

    @cached_property
    def rescored(self) -> Arrays:
        """The scores of the logged inputs."""
        return self._told(self.logged)

    @cached_property
    def fair(self) -> Arrays:
        """The scores that the joined values would have got, had everything been read."""
        return self._told(self.whole)

    def _told(self, taken: Arrays) -> Arrays:
        form = self.bundle.form
        return form.told_arrays(self.bundle.score(form.inputs_from(taken)))

    @cached_property
    def moved(self) -> NDArray[np.float64]:
        """By how much the scores of each row are off the fair ones; in the mean, where a model tells several. Texts that
        differ, and numbers whose gap is none (NaN), are off by 1.
        """
        told = self.bundle.form.told
        pairs = zip(cells(told, self.scores), cells(told, self.fair), strict=True)
        moved: NDArray[np.float64] = np.mean([_apart(then, now) for (_, then), (_, now) in pairs], axis=0)
        return moved

    @cached_property
    def wrong(self) -> Flags:
        """N x model inputs: where one differs in a bit."""
        return differ(self.logged, self.joined)

    @cached_property
    def wrong_scores(self) -> Flags:
        """Which rows were told another score than their logged input gets."""
        return np.asarray(differ(self.scores, self.rescored).any(axis=1))

    @cached_property
    def wrong_statuses(self) -> dict[str, Flags]:
        """By view where another status was served than the join gives; of a row that may have been removed from the
        store NOT_FOUND or STALE will do.
        """
        return {view.name: self._status_differs(view) for view in self.plan.views}

    def _status_differs(self, view: PlanView) -> Flags:
        then, now = self.status(view), self.found[view.name].status
        removable = view.rule.removable(self.found[view.name].rows.event, self.at)
        # Of a tombstone that was removed a late row, older still, may have taken the place.
        removed = np.isin(then, _GONE) & np.isin(now, _GONE) & removable
        different: Flags = (then != now) & ~removed & ~self.unread(view)
        return different

    def status(self, view: PlanView) -> NDArray[np.uint8]:
        """The statuses that were logged."""
        status: NDArray[np.uint8] = self.served.column(f"{view.name}:status").to_numpy()
        return status

    def unread(self, view: PlanView) -> Flags:
        """Which rows were answered with defaults, since the online store failed."""
        unread: Flags = self.status(view) == FeatureStatus.NOT_READ
        return unread

    def times(self, view: PlanView) -> tuple[UtcMicrosArray, UtcMicrosArray]:
        """Event and created time of the row that was logged; MISSING where none was found."""
        kinds = ("event_timestamp", "created_timestamp")
        event, created = (micros_of(self.served, f"{view.name}:{kind}") for kind in kinds)
        return event, created

    @cached_property
    def any_wrong(self) -> Flags:
        """Which rows differ in anything."""
        wrong: Flags = np.logical_or.reduce([self.wrong.any(axis=1), self.wrong_scores, *self.wrong_statuses.values()])
        return wrong


def compare(
    bundle: Bundle, sources: Mapping[str, TableSource], served: pa.Table, report: Report = quiet
) -> ReplayComparison:
    """Join the served rows again, as of the instant at which each was served. Raises: SourceMissing, SourceMismatch."""
    plan = bundle.plan
    spine = spine_of(plan, served)
    found = join(plan, sources, spine, report=report)
    request = request_values(plan, spine)
    read = {name: _as_read(one, served.column(f"{name}:status").to_numpy()) for name, one in found.items()}
    joined = _taken(bundle, read, request)
    unread = any((one.status == FeatureStatus.NOT_READ).any() for one in read.values())
    whole = _taken(bundle, found, request) if unread else joined
    return ReplayComparison(bundle, served, found, from_columns(bundle.form.taken, served), joined, whole)


def _taken(bundle: Bundle, views: Mapping[str, AdmittedRows], request: Mapping[str, ColumnValues]) -> Arrays:
    """What the model would have been given."""
    return bundle.form.taken_arrays(bundle.inputs(bundle.assembler.values(views, request)))


def _as_read(joined: AdmittedRows, statuses: NDArray[np.uint8]) -> AdmittedRows:
    """What the join gives, not read where the server did not read it."""
    return AdmittedRows(
        joined.rows, np.where(statuses == FeatureStatus.NOT_READ, np.uint8(FeatureStatus.NOT_READ), joined.status)
    )


def spine_of(plan: Plan, served: pa.Table) -> pa.Table:
    """The served rows as a spine: keys and request inputs under their own names, `served_at` as the time."""
    columns = {TIMESTAMP: served.column("served_at")}
    columns |= {key.name: served.column(f"entity:{key.name}") for key in plan.join_keys}
    columns |= {request.name: served.column(f"request:{request.name}") for request in plan.request}
    return pa.table(columns)


def differ(then: Arrays, now: Arrays) -> Flags:
    """N x values of all groups: where they differ, numbers in a bit."""
    return np.concatenate([differing(one, other) for one, other in zip(then, now, strict=True)], axis=1)


def plain(value: object) -> str:
    """A value for people: a number in the fewest digits that tell it from its neighbours, a text in quotes."""
    return repr(value) if isinstance(value, str) else str(value)


def _apart(then: Array, now: Array) -> Array:
    other = differing(then, now).astype(np.float64)
    if then.dtype.kind == "O":
        return other
    with np.errstate(invalid="ignore"):
        gap = np.abs(then.astype(np.float64) - now.astype(np.float64))
    return np.where(np.isfinite(gap), gap, other)


def micros_of(served: pa.Table, column: str) -> UtcMicrosArray:
    """A time of the log in microseconds; MISSING where it is null."""
    times: UtcMicrosArray = served.column(column).cast(pa.int64()).fill_null(MISSING).to_numpy()
    return times
