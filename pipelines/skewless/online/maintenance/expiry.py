"""Removes rows that can no longer be served: those that have been out of their ttl for a while.

The age is measured against the view's watermark, not the clock, so that a store that was filled as of an old time for a
replay keeps its rows. The ttl is that of the store's catalog, under which models are served, and not the registry's, which
applies once the view was materialized under it. Therefore the catalog is read and rows are removed under the same lock
that `materialize` takes. Each row is removed only if it is unchanged since it was read, so pushes need not wait.

If the project chose that the server removes rows by itself, the deadlines of the remaining rows are corrected as well:
see infra/decisions/expiry-by-sweep-or-server.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

import pyarrow as pa

from skewless.contract.plan import PlanView
from skewless.contract.storage.expiry_mode import ExpiryMode
from skewless.contract.storage.row_header import event_times, whole
from skewless.contract.storage.write_policy import horizon_argument
from skewless.contract.timestamps import UtcMicros, to_micros
from skewless.online.maintenance import hash_field_expiry
from skewless.online.maintenance.hash_field_expiry import MemoryFootprint
from skewless.online.store.online_project import OnlineProject
from skewless.online.store.store import SyncOnlineStore
from skewless.runtime.progress import Report, quiet
from skewless.state.locks import WAIT

VERB = "expire"
_SAMPLED = 100
_FOREVER = b""


def run(
    views: Sequence[PlanView],
    project: OnlineProject,
    *,
    end: datetime | None = None,
    report: Report = quiet,
    wait: timedelta = WAIT,
    lift: bool = False,
) -> dict[str, int]:
    """Remove expired rows; how many, by view: those removable at `end`, or at the view's watermark if that is earlier. A view
    without ttl keeps all rows; so does one that was never materialized, or that the store does not know.

    `lift` removes deadlines unless the expiry mode is SERVER. Raises: LockBusy, RedisUnreachable, StoreReadOnly,
    StoreFull, StateUnreachable; any part may then be done.
    """
    removed = {}
    for number, view in enumerate(views):
        report(view.stored_as, number, len(views))
        walk = _ExpiryWalk(view, project, end, lift)
        task = walk.task()
        if task.at is None and task.horizon is None:
            continue
        count = 0
        for keys in project.store.keys_like(task.view):
            with project.lock([view], VERB, wait):
                count += walk.apply(keys)
        if task.at is not None:
            removed[view.stored_as] = count
    return removed


@dataclass(frozen=True, slots=True)
class ExpiryChoice:
    """The result of `choose`: rows removed by view, and a warning about memory if there is one."""

    removed: dict[str, int]
    warning: str | None


def choose(
    expiry: ExpiryMode,
    views: Sequence[PlanView],
    project: OnlineProject,
    *,
    report: Report = quiet,
) -> ExpiryChoice:
    """Set how rows expire for all writers, then `run`, so that it also applies to the stored rows.

    Raises: NoFieldExpiry before anything is changed; as `run`.
    """
    store = project.store
    if expiry is ExpiryMode.SERVER:
        hash_field_expiry.require(store.client)
    sample = _sample(views, store)
    before = MemoryFootprint.of(store.client, sample)
    store.choose(expiry)
    lift = expiry is ExpiryMode.SWEEP and not hash_field_expiry.lacking(store.client)
    removed = run(views, project, report=report, lift=lift)
    return ExpiryChoice(removed, before.cost(MemoryFootprint.of(store.client, sample)))


def _sample(views: Sequence[PlanView], store: SyncOnlineStore) -> list[bytes]:
    owned = (key for view in views for keys in store.keys_like(view) for key in keys.to_pylist() if store.owns(key))
    return list(islice(owned, _SAMPLED))


@dataclass(frozen=True, slots=True)
class _ExpiryTask:
    """What to do with the rows of `view`, as the store defines it: remove those removable at `at` (None: none), and set the
    deadlines of the others by `horizon` (None: leave them).
    """

    view: PlanView
    at: UtcMicros | None = None
    horizon: bytes | None = None


@dataclass(frozen=True, slots=True)
class _ExpiryWalk:
    """A walk over one view's rows."""

    view: PlanView
    project: OnlineProject
    end: datetime | None
    lift: bool

    def task(self) -> _ExpiryTask:
        """The task by the current watermark, catalog and expiry mode."""
        watermark = self.project.watermark(self.view)
        store = self.project.store
        stored_view = store.stored_views([self.view])[self.view.stored_as].view
        by_server = store.expiry() is ExpiryMode.SERVER
        lift_horizon = _FOREVER if self.lift and not by_server else None
        if watermark is None or stored_view is None:
            return _ExpiryTask(stored_view or self.view, None, lift_horizon)
        at = to_micros(watermark if self.end is None else min(watermark, self.end))
        horizon = horizon_argument(stored_view.rule, at) if by_server else lift_horizon
        return _ExpiryTask(stored_view, at if stored_view.ttl_us else None, horizon)

    def apply(self, keys: pa.BinaryArray) -> int:
        """Apply the current task to these entities; how many rows were removed."""
        task, store = self.task(), self.project.store
        rows = store.stored_rows(task.view, keys)
        readable = whole(rows)
        keys, rows = keys.filter(readable), rows.filter(readable)
        removed = 0 if task.at is None else self._discard(task.view, keys, rows, task.at)
        if task.horizon is not None:
            store.set_deadlines(task.view, [key for key in keys.to_pylist() if store.owns(key)], task.horizon)
        return removed

    def _discard(self, view: PlanView, keys: pa.BinaryArray, rows: pa.BinaryArray, at: UtcMicros) -> int:
        store = self.project.store
        removable = pa.array(view.rule.removable(event_times(rows), at))
        pairs = zip(keys.filter(removable).to_pylist(), rows.filter(removable).to_pylist(), strict=True)
        owned = [(key, row) for key, row in pairs if store.owns(key)]
        return store.discard(view, [key for key, _ in owned], [row for _, row in owned])
