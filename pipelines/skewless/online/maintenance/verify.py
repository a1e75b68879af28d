"""Compares the online store with the offline one, row by row, as of each view's watermark, and mends what differs.

For each entity the offline store knows the row that must be in Redis: the newest that was admissible at the watermark.
A row that is newer than the watermark (pushed since, or written by a run that is under way) is ahead, and no
difference; nor is one whose entity got newer rows in its table while we looked. What is compared are the packed bytes,
encoded as `materialize` encodes them. Entities are dealt out to parts (`skewless.online.maintenance.key_partitions`), so that memory does not grow
with the store.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skewless.contract.admission import AdmissionRule
from skewless.contract.plan import PlanView
from skewless.contract.storage.entity_key import told_key
from skewless.contract.storage.newest_wins import replaces
from skewless.contract.storage.row_header import times
from skewless.contract.timestamps import UtcMicros, from_micros, to_micros
from skewless.offline.tables.arrivals import ViewArrivals, arrivals
from skewless.offline.tables.source import TableSource
from skewless.online.maintenance.key_partitions import KeyPartitions
from skewless.online.maintenance.newest_of_columns import winners
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
_DOUBT = 0.05
_EVER = int(np.iinfo(np.int64).min)


class StoreDifference(StrEnum):
    MISSING = "missing"
    """The offline store has a row for the entity, Redis has none."""
    STALE = "stale"
    """Redis has an older row."""
    DIFFERENT = "different"
    """Redis has a row of the same times with other bytes, or one that is newer and unknown offline."""
    EXTRA = "extra"
    """Redis has a row for an entity that the offline store does not know."""


@dataclass(frozen=True, slots=True)
class DifferingRow:
    """One difference: the entity's key, and its row in either store."""

    kind: StoreDifference
    key: bytes
    offline: bytes | None
    online: bytes | None

    def __str__(self) -> str:
        return f"{self.kind} {told_key(self.key)}: offline {_told(self.offline)}, online {_told(self.online)}"


@dataclass(frozen=True, slots=True)
class EntitySample:
    """One in `of` entities, drawn by `seed`: another one draws others, and the same one the same."""

    of: int = 1
    seed: int = 0

    def told(self, compared: int, differences: int) -> str:
        """How the entities were chosen, and what that says of the others; nothing where all were looked at."""
        if self.of == 1:
            return ""
        chosen = f" (one entity in {self.of:,}, seed {self.seed}"
        if differences or not compared:
            return f"{chosen})"
        return f"{chosen}: fewer than {1 - _DOUBT ** (1 / compared):.2%} of all differ, with 95% confidence)"


EVERY_ENTITY = EntitySample()


@dataclass(slots=True)
class VerifyResult:
    """What was found of one view as of `watermark`; None where it was never materialized, and nothing was compared."""

    view: str
    watermark: datetime | None
    sample: EntitySample = EVERY_ENTITY
    compared: int = 0
    ahead: int = 0
    counts: Counter[StoreDifference] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)
    repaired: int = 0

    @property
    def differences(self) -> int:
        return self.counts.total()

    def __str__(self) -> str:
        if self.watermark is None:
            return f"{self.view}: never materialized"
        kinds = ", ".join(f"{number:,} {kind}" for kind, number in self.counts.items()) or "no differences"
        mended = f", {self.repaired:,} mended" if self.repaired else ""
        drawn = self.sample.told(self.compared, self.differences)
        lines = [f"{self.view} as of {self.watermark.isoformat()}: {self.compared:,} compared{drawn}, {kinds}{mended}"]
        return "\n".join([*lines, *(f"  {example}" for example in self.examples)])

    def as_json(self) -> dict[str, object]:
        return {
            "view": self.view,
            "watermark": self.watermark.isoformat() if self.watermark else None,
            "sample": {"of": self.sample.of, "seed": self.sample.seed},
            "compared": self.compared,
            "ahead": self.ahead,
            **{kind.value: self.counts[kind] for kind in StoreDifference},
            "repaired": self.repaired,
            "examples": self.examples,
        }


def run(
    views: Sequence[tuple[PlanView, TableSource]],
    project: OnlineProject,
    *,
    sample: EntitySample = EVERY_ENTITY,
    repair: bool = False,
    wait: timedelta = WAIT,
    report: Report = quiet,
) -> list[VerifyResult]:
    """Verify views one after the other. With `repair` rows are written, and removed where the offline store does not
    know them, unless they changed since they were read; that takes the view's turn, since an erasure that ended while
    we looked would see its subject written again.

    Raises: Busy, SourceMissing, SourceMismatch, RedisUnreachable, StateUnreachable.
    """
    done = []
    for number, (view, source) in enumerate(views):
        report(view.stored_as, number, len(views))
        with project.turn([view] if repair else [], VERB, wait):
            watermark = project.watermark(view)
            found = VerifyResult(view.stored_as, watermark, sample)
            if watermark is not None:
                _verify(view, source, project, found, to_micros(watermark), repair=repair)
        done.append(found)
    return done


def _verify(
    view: PlanView,
    source: TableSource,
    project: OnlineProject,
    found: VerifyResult,
    at: UtcMicros,
    *,
    repair: bool,
) -> None:
    news, sample, store = arrivals(view, source, _EVER, at), found.sample, project.store
    parts = min(_MOST_PARTS, news.rows // sample.of // _ROWS_A_PART + 1)
    with KeyPartitions(parts, sample=sample.of, seed=sample.seed) as spill:
        for keys, rows in _newest(news, project.name, at):
            spill.add("offline", keys, rows)
        for keys in store.keys_like(view):
            spill.add("online", keys, pa.nulls(len(keys), pa.binary()))
        for part in range(parts):
            expected = winners(*spill.part("offline", part))
            online, _ = spill.part("online", part)
            differences = list(_differences(view, store, *_asked(store, expected, online), found, at))
            if differences:
                # A pushed row is in the table before it is online: what we know of the table is older than the store.
                later = arrivals(view, source, _EVER, at).besides(news)
                differences = _lasting(differences, _newest(later, project.name, at), found)
            found.counts.update(one.kind for one in differences)
            for one in differences[: EXAMPLES - len(found.examples)]:
                found.examples.append(str(one))
            if repair and differences:
                _repair(view, store, differences, found, at)


def _newest(news: ViewArrivals, project: str, at: UtcMicros) -> Iterator[tuple[pa.BinaryArray, pa.BinaryArray]]:
    """Keys and newest rows of what is known at `at`; an entity may come again with an older row."""
    reader = NewestArrivals(news, project, lambda _: None, lambda batch: news.take(batch) & (batch.created <= at))
    return reader.rows(news.batches())


def _lasting(
    differences: Sequence[DifferingRow], later: Iterator[tuple[pa.BinaryArray, pa.BinaryArray]], found: VerifyResult
) -> list[DifferingRow]:
    """The differences whose entities have no newer rows in what was written to the table since; the others are ahead."""
    known = {one.key: one.offline for one in differences}
    asked = pa.array(list(known), pa.binary())
    moving = set()
    for keys, rows in later:
        meant = pc.is_in(keys, value_set=asked)
        for key, row in zip(keys.filter(meant).to_pylist(), rows.filter(meant).to_pylist(), strict=True):
            if replaces(row, known[key]):
                moving.add(key)
    found.ahead += len(moving)
    return [one for one in differences if one.key not in moving]


def _asked(
    store: SyncOnlineStore, expected: tuple[pa.BinaryArray, pa.BinaryArray], online: pa.BinaryArray
) -> tuple[pa.BinaryArray, pa.BinaryArray]:
    """The keys to look at, with the rows that the offline store wants there: null for those that it does not know."""
    keys, rows = expected
    others = online.unique().filter(pc.invert(pc.is_in(online.unique(), value_set=keys)))
    # A key that is expected is ours; of others, which are few, the project's name alone does not say.
    extra = pa.array([key for key in others.to_pylist() if store.owns(key)], pa.binary())
    return pa.concat_arrays([keys, extra]), pa.concat_arrays([rows, pa.nulls(len(extra), pa.binary())])


def _differences(
    view: PlanView,
    store: SyncOnlineStore,
    keys: pa.BinaryArray,
    wanted: pa.BinaryArray,
    found: VerifyResult,
    at: UtcMicros,
) -> Iterator[DifferingRow]:
    """Bytes are compared with bytes, as columns; a Python value is made of what differs alone."""
    for start in range(0, len(keys), _KEYS_AT_ONCE):
        some, due = keys[start : start + _KEYS_AT_ONCE], wanted[start : start + _KEYS_AT_ONCE]
        held = store.held(view, some)
        found.compared += pc.sum(pc.or_(due.is_valid(), held.is_valid()), min_count=0).as_py()
        unlike = pc.invert(pc.fill_null(pc.equal(due, held), pc.and_(due.is_null(), held.is_null())))
        for key, offline, online in zip(
            *(column.filter(unlike).to_pylist() for column in (some, due, held)), strict=True
        ):
            kind = verdict(view.rule, offline, online, at)
            if kind is not None:
                yield DifferingRow(kind, key, offline, online)
            elif online is not None and max(times(online) or (at,)) > at:
                found.ahead += 1


def verdict(rule: AdmissionRule, wanted: bytes | None, held: bytes | None, at: UtcMicros) -> StoreDifference | None:
    """What is wrong where the offline store wants a row at `at` (microseconds) and Redis holds one; None: nothing.

    A row that may have been removed (`AdmissionRule.removable`) is not missed; a late row that is older still may have come to its
    place since.
    """
    if held == wanted:
        return None
    due, there = wanted and times(wanted), held and times(held)
    if due and rule.removable(due[0], at) and (held is None or (there and there < due)):
        return None
    if held is None:
        return StoreDifference.MISSING
    if there and max(there) > at:
        return None
    if not due:
        return StoreDifference.EXTRA
    return StoreDifference.STALE if not there or there < due else StoreDifference.DIFFERENT


def _repair(
    view: PlanView, store: SyncOnlineStore, differences: Sequence[DifferingRow], found: VerifyResult, at: UtcMicros
) -> None:
    """Newest-wins would keep a row that is wrong and newer: such rows go first, if they are still what was read."""
    wrong = [
        (one.key, one.online)
        for one in differences
        if one.online is not None and one.kind in (StoreDifference.DIFFERENT, StoreDifference.EXTRA)
    ]
    store.discard(view, [key for key, _ in wrong], [row for _, row in wrong])
    missing = [(one.key, one.offline) for one in differences if one.offline is not None]
    horizon = store.prepare(view).horizon(at)
    store.write(view, [key for key, _ in missing], [row for _, row in missing], horizon)
    found.repaired += len(differences)


def _told(row: bytes | None) -> str:
    if row is None:
        return "none"
    found = times(row)
    if found is None:
        return f"{len(row)} bytes that are no row"
    event, created = found
    try:
        return f"event {from_micros(event).isoformat()}, created {from_micros(created).isoformat()}"
    except (OverflowError, ValueError):
        return f"event {event} us, created {created} us"
