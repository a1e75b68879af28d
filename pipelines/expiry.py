"""Removes rows that nobody can be served any more: those that are out of their ttl, and have been for a while.

By the view's watermark, not by the clock, so that a store that was filled as of an old time for a replay keeps its rows.
By the ttl that the store's catalog has, which is the one that models are served under, and not by the registry's, which
counts once the view was materialized under it. That is why each look at the catalog and what goes by it share a turn
with `materialize`. Each row goes only if it is still what was read, so pushes need not wait.

Not by the server's own expiry of hash fields: see infra/decisions/expiry-by-sweep.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import pyarrow as pa

from pipelines.online import OnlineWriter
from pipelines.packed_times import event_times, whole
from pipelines.progress import Report, quiet
from pipelines.state import State
from pipelines.turns import WAIT
from serving.contract.instants import to_micros
from serving.contract.plan import View

VERB = "expire"


def run(
    views: Sequence[View],
    store: OnlineWriter,
    state: State,
    project: str,
    *,
    end: datetime | None = None,
    report: Report = quiet,
    wait: timedelta = WAIT,
) -> dict[str, int]:
    """Rows removed by view: those that may be gone at `end`, or at the view's watermark if that is earlier. A view
    without ttl keeps all; so does one that was never materialized, or that the store does not know.

    Raises: Busy, RedisUnreachable, StoreReadOnly, StateUnreachable; any part may then be gone.
    """
    removed = {}
    for number, view in enumerate(views):
        report(view.stored_as, number, len(views))
        sweep = _Sweep(view, store, state, project, end)
        begun = sweep.terms()
        if begun is None:
            continue
        removed[view.stored_as] = 0
        for keys in store.keys_like(begun[0]):
            with state.turn(project, [view.stored_as], VERB, wait):
                removed[view.stored_as] += sweep.remove(keys)
    return removed


@dataclass(frozen=True, slots=True)
class _Sweep:
    """What goes of one view."""

    view: View
    store: OnlineWriter
    state: State
    project: str
    end: datetime | None

    def terms(self) -> tuple[View, int] | None:
        """By which definition and as of when rows go now; None: none does."""
        watermark = self.state.watermark(self.project, self.view.stored_as)
        held = self.store.holdings([self.view])[self.view.stored_as].view
        if watermark is None or held is None or not held.ttl_us:
            return None
        return held, to_micros(watermark if self.end is None else min(watermark, self.end))

    def remove(self, keys: pa.BinaryArray) -> int:
        """How many rows of these entities went."""
        found = self.terms()
        if found is None:
            return 0
        view, at = found
        rows = self.store.held(view, keys)
        known = whole(rows)
        keys, rows = keys.filter(known), rows.filter(known)
        gone = pa.array(view.rule.removable(event_times(rows), at))
        pairs = zip(keys.filter(gone).to_pylist(), rows.filter(gone).to_pylist(), strict=True)
        ours = [(key, row) for key, row in pairs if self.store.owns(key)]
        return self.store.discard(view, [key for key, _ in ours], [row for _, row in ours])
