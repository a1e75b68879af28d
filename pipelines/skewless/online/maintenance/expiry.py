"""Removes rows that nobody can be served any more: those that are out of their ttl, and have been for a while.

By the view's watermark, not by the clock, so that a store that was filled as of an old time for a replay keeps its rows.
By the ttl that the store's catalog has, which is the one that models are served under, and not by the registry's, which
counts once the view was materialized under it. That is why each look at the catalog and what goes by it share a turn
with `materialize`. Each row goes only if it is still what was read, so pushes need not wait.

Where the project chose that the server removes rows by itself, the deadlines of those that stay are put right as well:
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
from skewless.contract.storage.write_policy import told_horizon
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
    """Rows removed by view: those that may be gone at `end`, or at the view's watermark if that is earlier. A view
    without ttl keeps all; so does one that was never materialized, or that the store does not know.

    `lift` takes deadlines off where the server is not to have any. Raises: Busy, RedisUnreachable, StoreReadOnly,
    StoreFull, StateUnreachable; any part may then be done.
    """
    removed = {}
    for number, view in enumerate(views):
        report(view.stored_as, number, len(views))
        walk = _ExpiryWalk(view, project, end, lift)
        begun = walk.task()
        if begun.at is None and begun.horizon is None:
            continue
        gone = 0
        for keys in project.store.keys_like(begun.view):
            with project.turn([view], VERB, wait):
                gone += walk.done(keys)
        if begun.at is not None:
            removed[view.stored_as] = gone
    return removed


@dataclass(frozen=True, slots=True)
class ExpiryChoice:
    """What a choice did: rows removed by view, and what is to be known of it."""

    removed: dict[str, int]
    warning: str | None


def choose(
    expiry: ExpiryMode,
    views: Sequence[PlanView],
    project: OnlineProject,
    *,
    report: Report = quiet,
) -> ExpiryChoice:
    """Tell all writers how rows go from now on, and `run`, so that it holds for those that are there.

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
    ours = (key for view in views for keys in store.keys_like(view) for key in keys.to_pylist() if store.owns(key))
    return list(islice(ours, _SAMPLED))


@dataclass(frozen=True, slots=True)
class _ExpiryTask:
    """What is to be done to the rows of `view`, as the store has it: those go that may be gone at `at` (None: none),
    and those that stay get deadlines by `horizon` (None: as they are).
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
        """By what rows go, as things are now."""
        watermark = self.project.watermark(self.view)
        store = self.project.store
        held = store.holdings([self.view])[self.view.stored_as].view
        server = store.expiry() is ExpiryMode.SERVER
        lifted = _FOREVER if self.lift and not server else None
        if watermark is None or held is None:
            return _ExpiryTask(held or self.view, None, lifted)
        at = to_micros(watermark if self.end is None else min(watermark, self.end))
        horizon = told_horizon(held.rule, at) if server else lifted
        return _ExpiryTask(held, at if held.ttl_us else None, horizon)

    def done(self, keys: pa.BinaryArray) -> int:
        """Do it for these entities; how many rows went."""
        task, store = self.task(), self.project.store
        rows = store.held(task.view, keys)
        known = whole(rows)
        keys, rows = keys.filter(known), rows.filter(known)
        removed = 0 if task.at is None else self._removed(task.view, keys, rows, task.at)
        if task.horizon is not None:
            store.set_deadlines(task.view, [key for key in keys.to_pylist() if store.owns(key)], task.horizon)
        return removed

    def _removed(self, view: PlanView, keys: pa.BinaryArray, rows: pa.BinaryArray, at: UtcMicros) -> int:
        store = self.project.store
        gone = pa.array(view.rule.removable(event_times(rows), at))
        pairs = zip(keys.filter(gone).to_pylist(), rows.filter(gone).to_pylist(), strict=True)
        ours = [(key, row) for key, row in pairs if store.owns(key)]
        return store.discard(view, [key for key, _ in ours], [row for _, row in ours])
