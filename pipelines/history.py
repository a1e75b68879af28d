"""The point-in-time join: for each spine row, each view's newest row that was known by then.

A row may be used from `available_at` on (the admission rule). Sorted by that instant, the greatest `(event, created)`
seen so far is the answer at any time, so late rows and corrections cost one running maximum and a binary search.
Ties on both times are broken as the online store breaks them: by the packed bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.errors import SourceMismatch, SpineMismatch
from pipelines.offline import History, Source, cast, micros, read_history
from pipelines.progress import Report, quiet
from serving.contract.assembler import Admitted, admit, wanted_features
from serving.contract.freshness import MISSING, Micros
from serving.contract.plan import Field, JoinKey, Plan, View
from serving.contract.row import Layout, Rows, Values, column_values
from serving.contract.types import ValueType, value_type

Places = NDArray[np.int64]
TIMESTAMP = "event_timestamp"
_BYTES_AFTER_SCHEMA = 20


def join(
    plan: Plan,
    sources: Mapping[str, Source],
    spine: pa.Table,
    *,
    read_at: Micros | None = None,
    report: Report = quiet,
) -> dict[str, Admitted]:
    """The admitted rows of every view of the plan for each of the n spine rows, in spine order.

    `spine` has `event_timestamp` and the plan's join keys. With `read_at` (n instants, at most the spine's times) the
    answer is what an online store holds that was last filled then: rows known by `read_at`, judged stale at the
    spine's time. Calls `report` before each view is joined.
    Raises: SpineMismatch, SourceMissing, SourceMismatch.
    """
    at = spine_times(spine)
    known = at if read_at is None else read_at
    wanted = wanted_features(plan)
    found: dict[str, Admitted] = {}
    for number, view in enumerate(plan.views):
        report(view.name, number, len(plan.views))
        keys = [spine_column(spine, key.name, key.dtype) for key in view.join_keys]
        source = sources[view.name]
        files = source.files(until=int(known.max())) if len(known) else []
        history = read_history(view, source, files)
        places = newest(view, history, keys, known)
        found[view.name] = admit(plan, view.name, rows_at(view, history, places, wanted[view.name]), at)
    return found


def request_values(plan: Plan, spine: pa.Table) -> dict[str, Values]:
    """The request inputs that a spine carries. Raises: SpineMismatch."""
    return {
        field.name: column_values(value_type(field.dtype), spine_column(spine, field.name, field.dtype))
        for field in plan.request
    }


def spine_times(spine: pa.Table) -> Micros:
    """The spine's times in microseconds. Raises: SpineMismatch."""
    if TIMESTAMP not in spine.column_names:
        raise SpineMismatch(TIMESTAMP, f"is absent; the spine has {spine.column_names}")
    try:
        return micros("", TIMESTAMP, spine.column(TIMESTAMP))
    except SourceMismatch as error:
        raise SpineMismatch(TIMESTAMP, error.reason) from error


def spine_column(spine: pa.Table, name: str, dtype: str) -> pa.Array:
    """A column of the spine in its declared type. Raises: SpineMismatch."""
    if name not in spine.column_names:
        raise SpineMismatch(name, f"is absent; the spine has {spine.column_names}")
    try:
        return cast("", name, spine.column(name), value_type(dtype).arrow)
    except SourceMismatch as error:
        raise SpineMismatch(name, error.reason) from error


def newest(view: View, history: History, keys: Sequence[pa.Array], at: Micros) -> Places:
    """For each spine row the place in `history` of the row to use at `at` (that instant included), or -1."""
    stored, asked = _codes(view.join_keys, history.keys, keys, len(history), len(at))
    order = sort_rows(view, history, stored)
    codes = stored[order]
    available = view.rule.available_at(history.event, history.created)[order]
    by_time = np.lexsort((available, codes))
    best = np.maximum.accumulate(by_time)
    starts = np.searchsorted(codes, np.arange(asked.max(initial=-1) + 2))
    known = asked >= 0
    low = np.where(known, starts[asked], 0)
    high = np.where(known, starts[asked + 1], 0)
    last = _last_at_or_before(available[by_time], low, high, at)
    places = np.full(len(at), -1, np.int64)
    places[last >= 0] = order[best[last[last >= 0]]]
    return places


def sort_rows(view: View, history: History, codes: Places) -> Places:
    """Places of the history's rows by (code, event, created), ties by packed bytes: within a code the last one wins."""
    order = np.lexsort((history.created, history.event, codes))
    later, earlier = order[1:], order[:-1]
    tied = (
        (codes[later] == codes[earlier])
        & (history.event[later] == history.event[earlier])
        & (history.created[later] == history.created[earlier])
    )
    if not tied.any():
        return order
    edges = np.flatnonzero(np.diff(np.concatenate(([False], tied, [False])).astype(np.int8)))
    groups = list(zip(edges[::2].tolist(), (edges[1::2] + 1).tolist(), strict=True))
    members = np.concatenate([order[first:last] for first, last in groups])
    packed = dict(zip(members.tolist(), _packed(view, history.take(members)), strict=True))
    for first, last in groups:
        order[first:last] = sorted(order[first:last].tolist(), key=packed.__getitem__)
    return order


def _packed(view: View, history: History) -> list[bytes]:
    return [row[_BYTES_AFTER_SCHEMA:] for row in packed_rows(view, history)]


def packed_rows(view: View, history: History) -> list[bytes]:
    """The rows of a history as the online store holds them. Raises: SourceMismatch."""
    columns = [
        _packable(view.stored_as, field.name, value_type(field.dtype), column)
        for field, column in zip(view.fields, history.columns, strict=True)
    ]
    return Layout(view.fields).encode(history.event, history.created, history.deleted, columns)


def _packable(view: str, name: str, kind: ValueType, column: pa.Array) -> pa.Array:
    """A column as rows take it. Raises: SourceMismatch."""
    if kind.encoding != "value":
        return column
    # Feast's messages take 4 s to import, and few views hold values of these types.
    from pipelines.value_messages import packable  # noqa: PLC0415

    return packable(view, name, kind, column)


def rows_at(view: View, history: History, places: Places, wanted: Sequence[Field]) -> Rows:
    """The `wanted` features of the rows at `places`; -1 is an entity without a row. Raises: SourceMismatch."""
    found = places >= 0
    event = np.full(len(places), MISSING, np.int64)
    created, deleted = event.copy(), np.zeros(len(places), bool)
    event[found], created[found] = history.event[places[found]], history.created[places[found]]
    deleted[found] = history.deleted[places[found]]
    used, back = np.unique(places[found], return_inverse=True)
    picks = np.zeros(len(places), np.int64)
    picks[found] = back
    held = dict(zip(view.fields, history.columns, strict=True))
    columns = []
    for field in wanted:
        kind = value_type(field.dtype)
        column = _packable(view.stored_as, field.name, kind, held[field].take(pa.array(used)))
        columns.append(column_values(kind, column.take(pa.array(picks, mask=~found))))
    return Rows(event, created, deleted, tuple(columns))


def entity_codes(view: View, history: History) -> Places:
    """Small integers that name the entities of a history; the greatest int64 for rows with a null key."""
    return _codes(view.join_keys, history.keys, [key.slice(0, 0) for key in history.keys], len(history), 0)[0]


def _codes(
    join_keys: Sequence[JoinKey],
    stored: Sequence[pa.Array],
    asked: Sequence[pa.Array],
    rows: int,
    spine_rows: int,
) -> tuple[Places, Places]:
    """Small integers that name the entities of history and spine alike; -1 for a spine's null key."""
    codes = np.zeros(rows + spine_rows, np.int64)
    null = np.zeros(rows + spine_rows, bool)
    for _, mine, theirs in zip(join_keys, stored, asked, strict=True):
        both = pa.chunked_array([mine, theirs]).combine_chunks().dictionary_encode()
        indices = both.indices.fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
        null |= both.is_null().to_numpy(zero_copy_only=False)
        combined = codes * max(len(both.dictionary), 1) + indices
        codes = np.unique(combined, return_inverse=True)[1] if len(join_keys) > 1 else combined
    codes = codes.astype(np.int64)
    spine_codes = np.where(null[rows:], -1, codes[rows:])
    # A stored row with a null key is nobody's: it sorts behind every entity.
    return np.where(null[:rows], np.iinfo(np.int64).max, codes[:rows]), spine_codes


def _last_at_or_before(times: Micros, low: Places, high: Places, at: Micros) -> Places:
    """The last place p in [low, high) with times[p] <= at, for each row, or -1. `times` ascend within each range."""
    start, low, high = low, low.copy(), high.copy()
    while (open_rows := low < high).any():
        middle = np.where(open_rows, (low + high) // 2, 0)
        right = open_rows & (times[middle] <= at)
        low = np.where(right, middle + 1, low)
        high = np.where(open_rows & ~right, middle, high)
    return np.where(low > start, low - 1, -1)
