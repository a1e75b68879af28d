"""Compares the online store with the offline one, row by row, as of each view's watermark, and mends what differs.

For each entity the offline store knows the row that must be in Redis: the newest that was admissible at the watermark.
A row that is newer than the watermark (pushed since, or written by a run that is under way) is ahead, and no
difference. Entities are dealt out to parts (`pipelines.spill`), so that memory does not grow with the store.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

import numpy as np

from pipelines.arrivals import arrivals
from pipelines.materialize import packed
from pipelines.offline import Source
from pipelines.online import OnlineWriter
from pipelines.packed_times import times
from pipelines.progress import Report, quiet
from pipelines.reduction import chunks, newest
from pipelines.spill import Spill
from pipelines.state import State
from serving.contract.errors import CorruptRow
from serving.contract.freshness import Rule
from serving.contract.instants import from_micros, to_micros
from serving.contract.key_columns import KeyColumns
from serving.contract.keys import told_key
from serving.contract.online import Lookup
from serving.contract.plan import View

EXAMPLES = 5
_ROWS_A_PART = 200_000
_MOST_PARTS = 256
_KEYS_A_TRIP = 2_000
_EVER = int(np.iinfo(np.int64).min)


class Difference(StrEnum):
    MISSING = "missing"
    """The offline store has a row for the entity, Redis has none."""
    STALE = "stale"
    """Redis has an older row."""
    DIFFERENT = "different"
    """Redis has a row of the same times with other bytes, or one that is newer and unknown offline."""
    EXTRA = "extra"
    """Redis has a row for an entity that the offline store does not know."""


@dataclass(frozen=True, slots=True)
class Found:
    """One difference: the entity's key, and its row in either store."""

    kind: Difference
    key: bytes
    offline: bytes | None
    online: bytes | None

    def __str__(self) -> str:
        return f"{self.kind} {told_key(self.key)}: offline {_told(self.offline)}, online {_told(self.online)}"


@dataclass(slots=True)
class Verified:
    """What was found of one view as of `watermark`; None where it was never materialized, and nothing was compared."""

    view: str
    watermark: datetime | None
    compared: int = 0
    ahead: int = 0
    counts: Counter[Difference] = field(default_factory=Counter)
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
        lines = [f"{self.view} as of {self.watermark.isoformat()}: {self.compared:,} compared, {kinds}{mended}"]
        return "\n".join([*lines, *(f"  {example}" for example in self.examples)])

    def as_json(self) -> dict[str, object]:
        return {
            "view": self.view,
            "watermark": self.watermark.isoformat() if self.watermark else None,
            "compared": self.compared,
            "ahead": self.ahead,
            **{kind.value: self.counts[kind] for kind in Difference},
            "repaired": self.repaired,
            "examples": self.examples,
        }


def run(
    views: Sequence[tuple[View, Source]],
    store: OnlineWriter,
    state: State,
    project: str,
    *,
    sample: int = 1,
    repair: bool = False,
    report: Report = quiet,
) -> list[Verified]:
    """Verify views one after the other; of the entities one in `sample`, chosen by their keys. With `repair` rows are
    written, and removed where the offline store does not know them, unless they changed since they were read.

    Raises: SourceMissing, SourceMismatch, RedisUnreachable, StateUnreachable.
    """
    done = []
    for number, (view, source) in enumerate(views):
        report(view.stored_as, number, len(views))
        watermark = state.watermark(project, view.stored_as)
        found = Verified(view.stored_as, watermark)
        if watermark is not None:
            _verify(view, source, store, project, found, to_micros(watermark), sample=sample, repair=repair)
        done.append(found)
    return done


def _verify(
    view: View,
    source: Source,
    store: OnlineWriter,
    project: str,
    found: Verified,
    at: int,
    *,
    sample: int,
    repair: bool,
) -> None:
    news, keys = arrivals(view, source, _EVER, at), KeyColumns(project, view)
    parts = min(_MOST_PARTS, news.rows // sample // _ROWS_A_PART + 1)
    with Spill(parts, sample=sample) as spill:
        arrived = (batch.take(news.take(batch) & (batch.created <= at)) for batch in news.batches())
        for chunk in chunks(arrived):
            encoded = keys.pack(chunk.keys, len(chunk))
            best = newest(encoded, chunk.event, chunk.created)
            spill.add("offline", encoded.take(best).to_pylist(), packed(view, chunk.take(best)).to_pylist())
        for some in store.keys_of(view):
            spill.add("online", some, [b""] * len(some))
        for part in range(parts):
            expected = spill.newest("offline", part)
            differences = list(_differences(view, store, expected, spill.keys("online", part), found, at))
            for one in differences[: EXAMPLES - len(found.examples)]:
                found.examples.append(str(one))
            if repair and differences:
                _repair(view, store, differences, found)


def _differences(
    view: View,
    store: OnlineWriter,
    expected: dict[bytes, bytes],
    online: Iterable[bytes],
    found: Verified,
    at: int,
) -> Iterable[Found]:
    keys = sorted({*expected, *online})
    for start in range(0, len(keys), _KEYS_A_TRIP):
        some = keys[start : start + _KEYS_A_TRIP]
        replies = store.read_each([Lookup(key, (view.stored_as.encode(),)) for key in some])
        for key, reply in zip(some, replies, strict=True):
            held = None if isinstance(reply, CorruptRow) else reply[0]
            wanted = expected.get(key)
            found.compared += wanted is not None or held is not None
            kind = verdict(view.rule, wanted, held, at)
            if kind is not None:
                found.counts[kind] += 1
                yield Found(kind, key, wanted, held)
            elif held is not None and held != wanted:
                found.ahead += 1


def verdict(rule: Rule, wanted: bytes | None, held: bytes | None, at: int) -> Difference | None:
    """What is wrong where the offline store wants a row at `at` (microseconds) and Redis holds one; None: nothing.

    A row that may have been removed (`Rule.removable`) is not missed.
    """
    if held == wanted:
        return None
    due, there = wanted and times(wanted), held and times(held)
    if held is None:
        return None if due and rule.removable(due[0], at) else Difference.MISSING
    if there and max(there) > at:
        return None
    if not due:
        return Difference.EXTRA
    return Difference.STALE if not there or there < due else Difference.DIFFERENT


def _repair(view: View, store: OnlineWriter, differences: Sequence[Found], found: Verified) -> None:
    """Newest-wins would keep a row that is wrong and newer: such rows go first, if they are still what was read."""
    wrong = [
        (one.key, one.online)
        for one in differences
        if one.online is not None and one.kind in (Difference.DIFFERENT, Difference.EXTRA)
    ]
    store.discard(view, [key for key, _ in wrong], [row for _, row in wrong])
    missing = [(one.key, one.offline) for one in differences if one.offline is not None]
    store.prepare(view)
    store.write(view, [key for key, _ in missing], [row for _, row in missing])
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
