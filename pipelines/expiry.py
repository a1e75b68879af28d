"""Removes rows that nobody can be served any more: those that are out of their ttl, and have been for a while.

By the view's watermark, not by the clock, so that a store that was filled as of an old time for a replay keeps its rows.
Each row goes only if it is still what was read, so writers need not wait. It walks every key, some at a time.

Not by the server's own expiry of hash fields: see infra/decisions/expiry-by-sweep.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from pipelines.online import OnlineWriter
from pipelines.packed_times import times
from pipelines.progress import Report, quiet
from pipelines.state import State
from serving.contract.errors import CorruptRow
from serving.contract.instants import to_micros
from serving.contract.online import Lookup
from serving.contract.plan import View


def run(
    views: Sequence[View],
    store: OnlineWriter,
    state: State,
    project: str,
    *,
    end: datetime | None = None,
    report: Report = quiet,
) -> dict[str, int]:
    """Rows removed by view: those that may be gone at `end`, or at the view's watermark if that is earlier. A view
    without ttl keeps all; so does one that was never materialized. Raises: RedisUnreachable, StateUnreachable.
    """
    removed = {}
    for number, view in enumerate(views):
        report(view.stored_as, number, len(views))
        watermark = state.watermark(project, view.stored_as)
        if view.ttl_us and watermark is not None:
            at = to_micros(watermark if end is None else min(watermark, end))
            removed[view.stored_as] = _expire(view, store, at)
    return removed


def _expire(view: View, store: OnlineWriter, at: int) -> int:
    removed, field = 0, view.stored_as.encode()
    for keys in store.keys_of(view):
        replies = store.read_each([Lookup(key, (field,)) for key in keys])
        held = [(k, reply[0]) for k, reply in zip(keys, replies, strict=True) if not isinstance(reply, CorruptRow)]
        gone = [(key, row) for key, row in held if row and _removable(view, row, at)]
        removed += store.discard(view, [key for key, _ in gone], [row for _, row in gone])
    return removed


def _removable(view: View, row: bytes, at: int) -> bool:
    found = times(row)
    return found is not None and bool(view.rule.removable(found[0], at))
