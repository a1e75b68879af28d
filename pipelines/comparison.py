"""A served log beside the point-in-time join of the same rows: what was used, what the join gives, where they differ."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.history import TIMESTAMP, join, request_values
from pipelines.offline import Source
from pipelines.progress import Report, quiet
from serving.contract.assembler import Admitted, Matrix
from serving.contract.bundle import MODEL_INPUT, SCORE, Bundle
from serving.contract.freshness import MISSING, Flags, Micros, Status
from serving.contract.plan import Feature, Plan, View
from serving.contract.plan import Source as PlanSource

Scores = NDArray[np.float32]
Places = NDArray[np.int64]


@dataclass(frozen=True)
class Comparison:
    """n served rows. `found` is what the join gives for each view; `joined` the model inputs that it makes, defaults
    where the server could not read a view, and `whole` those had everything been read.
    """

    bundle: Bundle
    served: pa.Table
    found: Mapping[str, Admitted]
    logged: Matrix
    joined: Matrix
    whole: Matrix

    @property
    def plan(self) -> Plan:
        return self.bundle.plan

    def features(self, view: View) -> Places:
        """The places of a view's features among the model inputs."""
        return self.places(lambda source: isinstance(source, Feature) and source.view == view.name)

    def places(self, wanted: Callable[[PlanSource], bool]) -> Places:
        """The places of some model inputs, by where they come from."""
        return np.array([place for place, one in enumerate(self.plan.columns) if wanted(one.source)], np.int64)

    @cached_property
    def at(self) -> Micros:
        """When each row was served."""
        return micros_of(self.served, "served_at")

    @cached_property
    def scores(self) -> Scores:
        """The scores that were logged."""
        scores: Scores = self.served.column(SCORE).to_numpy()
        return scores

    @cached_property
    def rescored(self) -> Scores:
        """The scores of the logged inputs."""
        return self.bundle.scorer.score(self.logged)

    @cached_property
    def wrong(self) -> Flags:
        """N x columns: where a model input differs in a bit."""
        return differ(self.logged, self.joined)

    @cached_property
    def wrong_scores(self) -> Flags:
        return differ(self.scores, self.rescored)

    @cached_property
    def wrong_statuses(self) -> dict[str, Flags]:
        """By view where another status was served than the join gives; of a row that may have been removed from the
        store NOT_FOUND will do.
        """
        return {view.name: self._status_differs(view) for view in self.plan.views}

    def _status_differs(self, view: View) -> Flags:
        then, now = self.status(view), self.found[view.name].status
        removable = view.rule.removable(self.found[view.name].rows.event, self.at)
        removed = (then == Status.NOT_FOUND) & (now == Status.STALE) & removable
        different: Flags = (then != now) & ~removed & ~self.unread(view)
        return different

    def status(self, view: View) -> NDArray[np.uint8]:
        """The statuses that were logged."""
        status: NDArray[np.uint8] = self.served.column(f"{view.name}:status").to_numpy()
        return status

    def unread(self, view: View) -> Flags:
        """Which rows were answered with defaults, since the online store failed."""
        unread: Flags = self.status(view) == Status.NOT_READ
        return unread

    def times(self, view: View) -> tuple[Micros, Micros]:
        """Event and created time of the row that was logged; MISSING where none was found."""
        kinds = ("event_timestamp", "created_timestamp")
        event, created = (micros_of(self.served, f"{view.name}:{kind}") for kind in kinds)
        return event, created

    @cached_property
    def any_wrong(self) -> Flags:
        """Which rows differ in anything."""
        wrong: Flags = np.logical_or.reduce([self.wrong.any(axis=1), self.wrong_scores, *self.wrong_statuses.values()])
        return wrong


def compare(bundle: Bundle, sources: Mapping[str, Source], served: pa.Table, report: Report = quiet) -> Comparison:
    """Join the served rows again, as of the instant at which each was served. Raises: SourceMissing, SourceMismatch."""
    plan = bundle.plan
    spine = spine_of(plan, served)
    found = join(plan, sources, spine, report=report)
    request = request_values(plan, spine)
    read = {name: _as_read(one, served.column(f"{name}:status").to_numpy()) for name, one in found.items()}
    joined = bundle.assembler.assemble(read, request)
    unread = any((one.status == Status.NOT_READ).any() for one in read.values())
    whole = bundle.assembler.assemble(found, request) if unread else joined
    return Comparison(bundle, served, found, logged_matrix(plan, served), joined, whole)


def _as_read(joined: Admitted, statuses: NDArray[np.uint8]) -> Admitted:
    """What the join gives, not read where the server did not read it."""
    return Admitted(joined.rows, np.where(statuses == Status.NOT_READ, np.uint8(Status.NOT_READ), joined.status))


def spine_of(plan: Plan, served: pa.Table) -> pa.Table:
    """The served rows as a spine: keys and request inputs under their own names, `served_at` as the time."""
    columns = {TIMESTAMP: served.column("served_at")}
    columns |= {key.name: served.column(f"entity:{key.name}") for key in plan.join_keys}
    columns |= {request.name: served.column(f"request:{request.name}") for request in plan.request}
    return pa.table(columns)


def logged_matrix(plan: Plan, served: pa.Table) -> Matrix:
    """The model inputs that were logged, n rows in column order."""
    flat = served.column(MODEL_INPUT).combine_chunks()
    flat = flat.chunk(0) if isinstance(flat, pa.ChunkedArray) else flat
    matrix: Matrix = flat.flatten().to_numpy(zero_copy_only=False).reshape(len(served), len(plan.columns))
    return matrix


def differ(then: np.ndarray, now: np.ndarray) -> Flags:
    """Where two float32 arrays differ in a bit."""
    different: Flags = then.view(np.uint32) != now.view(np.uint32)
    return different


def micros_of(served: pa.Table, column: str) -> Micros:
    """A time of the log in microseconds; MISSING where it is null."""
    times: Micros = served.column(column).cast(pa.int64()).fill_null(MISSING).to_numpy()
    return times
