"""Compares the online store with the offline store, row by row, as of each view's watermark, and repairs differences.

The offline store determines the row of each entity that must be in Redis: the newest that was admissible at the watermark.
A row that is newer than the watermark (pushed since, or written by a run in progress) counts as ahead, not as a
difference; so does a row whose entity got newer rows in its table during the comparison. The packed bytes are compared,
encoded as `materialize` encodes them. Entities are partitioned (`skewless.online.maintenance.key_partitions`), so that
memory does not grow with the store.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skewless.contract.admission import AdmissionRule
from skewless.contract.plan import PlanView
from skewless.contract.storage.newest_wins import replaces
from skewless.contract.storage.row_header import times
from skewless.contract.timestamps import UtcMicros, to_micros
from skewless.offline.tables.arrivals import ViewArrivals, arrivals
from skewless.offline.tables.source import TableSource
from skewless.offline.tables.view_rows import unreadable_reason
from skewless.online.maintenance.key_partitions import KeyPartitions
from skewless.online.maintenance.newest_of_columns import winners
from skewless.online.maintenance.verify_result import (
    EVERY_ENTITY,
    DifferingRow,
    EntitySample,
    StoreDifference,
    VerifyResult,
)
from skewless.online.materialization.newest_arrivals import NewestArrivals
from skewless.online.store.online_project import OnlineProject
from skewless.online.store.store import SyncOnlineStore
from skewless.runtime.progress import Report, quiet
from skewless.state.locks import WAIT

EXAMPLES = 5
VERB = "verify"
_ROWS_A_PART = 200_000
_MOST_PARTS = 256
_KEYS_AT_ONCE = 20_000
_EVER = int(np.iinfo(np.int64).min)


def run(
    views: Sequence[tuple[PlanView, TableSource]],
    project: OnlineProject,
    *,
    sample: EntitySample = EVERY_ENTITY,
    repair: bool = False,
    wait: timedelta = WAIT,
    report: Report = quiet,
) -> list[VerifyResult]:
    """Verify views one after the other. With `repair`, missing rows are written and rows that the offline store does not have
    are removed, unless they changed since they were read. A repair holds the view's lock: otherwise it could write rows of
    a subject that was erased during the comparison.

    Raises: LockBusy, SourceMissing, SourceMismatch, RedisUnreachable, StateUnreachable.
    """
    done = []
    for number, (view, source) in enumerate(views):
        report(view.stored_as, number, len(views))
        with project.lock([view] if repair else [], VERB, wait):
            watermark = project.watermark(view)
            result = VerifyResult(view.stored_as, watermark, sample)
            if source.superseded:
                result.unreadable = unreadable_reason(view, source)
            if watermark is not None and result.unreadable is None:
                _verify(view, source, project, result, to_micros(watermark), repair=repair)
        done.append(result)
    return done


def _verify(
    view: PlanView,
    source: TableSource,
    project: OnlineProject,
    result: VerifyResult,
    at: UtcMicros,
    *,
    repair: bool,
) -> None:
    arrived, sample, store = arrivals(view, source, _EVER, at), result.sample, project.store
    parts = min(_MOST_PARTS, arrived.rows // sample.of // _ROWS_A_PART + 1)
    with KeyPartitions(parts, sample=sample.of, seed=sample.seed) as spill:
        for keys, rows in _newest(arrived, project.name, at):
            spill.add("offline", keys, rows)
        for keys in store.keys_like(view):
            spill.add("online", keys, pa.nulls(len(keys), pa.binary()))
        for part in range(parts):
            expected = winners(*spill.part("offline", part))
            online, _ = spill.part("online", part)
            differences = list(_differences(view, store, *_comparison(store, expected, online), result, at))
            if differences:
                # A pushed row is in the table before it is online: the list of files may be older than the store.
                later = arrivals(view, source, _EVER, at).excluding(arrived)
                differences = _lasting(differences, _newest(later, project.name, at), result)
            result.counts.update(row.kind for row in differences)
            for row in differences[: EXAMPLES - len(result.examples)]:
                result.examples.append(str(row))
            if repair and differences:
                _repair(view, store, differences, result, at)


def _newest(source_rows: ViewArrivals, project: str, at: UtcMicros) -> Iterator[tuple[pa.BinaryArray, pa.BinaryArray]]:
    """Keys and newest rows of those created by `at`; an entity may appear again with an older row."""
    reader = NewestArrivals(
        source_rows, project, lambda _: None, lambda batch: source_rows.take(batch) & (batch.created <= at)
    )
    return reader.rows(source_rows.batches())


def _lasting(
    differences: Sequence[DifferingRow], later: Iterator[tuple[pa.BinaryArray, pa.BinaryArray]], result: VerifyResult
) -> list[DifferingRow]:
    """The differences whose entities have no newer rows in the files written since; the others are counted as ahead."""
    known = {row.key: row.offline for row in differences}
    differing = pa.array(list(known), pa.binary())
    ahead = set()
    for keys, rows in later:
        mask = pc.is_in(keys, value_set=differing)
        for key, row in zip(keys.filter(mask).to_pylist(), rows.filter(mask).to_pylist(), strict=True):
            if replaces(row, known[key]):
                ahead.add(key)
    result.ahead += len(ahead)
    return [row for row in differences if row.key not in ahead]


def _comparison(
    store: SyncOnlineStore, expected: tuple[pa.BinaryArray, pa.BinaryArray], online: pa.BinaryArray
) -> tuple[pa.BinaryArray, pa.BinaryArray]:
    """The keys to compare, with the rows expected by the offline store: null for keys that it does not have."""
    keys, rows = expected
    unexpected = online.unique().filter(pc.invert(pc.is_in(online.unique(), value_set=keys)))
    # Expected keys belong to this project; the few others may belong to one whose name has the same ending.
    extra = pa.array([key for key in unexpected.to_pylist() if store.owns(key)], pa.binary())
    return pa.concat_arrays([keys, extra]), pa.concat_arrays([rows, pa.nulls(len(extra), pa.binary())])


def _differences(
    view: PlanView,
    store: SyncOnlineStore,
    keys: pa.BinaryArray,
    expected_rows: pa.BinaryArray,
    result: VerifyResult,
    at: UtcMicros,
) -> Iterator[DifferingRow]:
    """The differing rows. Bytes are compared as columns; only differing rows become Python values."""
    for start in range(0, len(keys), _KEYS_AT_ONCE):
        part, expected = keys[start : start + _KEYS_AT_ONCE], expected_rows[start : start + _KEYS_AT_ONCE]
        stored = store.stored_rows(view, part)
        result.compared += pc.sum(pc.or_(expected.is_valid(), stored.is_valid()), min_count=0).as_py()
        unlike = pc.invert(pc.fill_null(pc.equal(expected, stored), pc.and_(expected.is_null(), stored.is_null())))
        for key, offline, online in zip(
            *(column.filter(unlike).to_pylist() for column in (part, expected, stored)), strict=True
        ):
            kind = classify(view.rule, offline, online, at)
            if kind is not None:
                yield DifferingRow(kind, key, offline, online)
            elif online is not None and max(times(online) or (at,)) > at:
                result.ahead += 1


def classify(
    rule: AdmissionRule, expected: bytes | None, stored: bytes | None, at: UtcMicros
) -> StoreDifference | None:
    """The difference between the row expected at `at` (microseconds) and the row stored in Redis; None if there is none.

    A row that may have been removed (`AdmissionRule.removable`) is not missing, also if an older late row was stored after its
    removal.
    """
    if stored == expected:
        return None
    expected_times, stored_times = expected and times(expected), stored and times(stored)
    if (
        expected_times
        and rule.removable(expected_times[0], at)
        and (stored is None or (stored_times and stored_times < expected_times))
    ):
        return None
    if stored is None:
        return StoreDifference.MISSING
    if stored_times and max(stored_times) > at:
        return None
    if not expected_times:
        return StoreDifference.EXTRA
    return StoreDifference.STALE if not stored_times or stored_times < expected_times else StoreDifference.DIFFERENT


def _repair(
    view: PlanView, store: SyncOnlineStore, differences: Sequence[DifferingRow], result: VerifyResult, at: UtcMicros
) -> None:
    """Remove wrong rows first, if they are unchanged since they were read: newest-wins would keep a wrong row that is newer."""
    wrong = [
        (row.key, row.online)
        for row in differences
        if row.online is not None and row.kind in (StoreDifference.DIFFERENT, StoreDifference.EXTRA)
    ]
    store.discard(view, [key for key, _ in wrong], [row for _, row in wrong])
    missing = [(row.key, row.offline) for row in differences if row.offline is not None]
    horizon = store.prepare(view).horizon(at)
    store.write(view, [key for key, _ in missing], [row for _, row in missing], horizon)
    result.repaired += len(differences)
