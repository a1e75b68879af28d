"""Pushes the events of a project's stream: at least once, in bounded batches, by any number of consumers.

An entry is done only after its rows are in the table and in the online store. What a killed consumer held is claimed
by another one; rows that are pushed twice are harmless. An entry that cannot be pushed, whoever tries, goes to the
dead letters with its reason. While the online store is away, or takes nothing, consumers wait and try again; known
views need no registry meanwhile. What was erased from the stream while a consumer had it in hand is not pushed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import orjson
import stamina

from skewless.contract.errors import InvalidInput, InvalidRows, NotPushable, RemovalUnfinished, SkewlessError
from skewless.contract.storage.push_batch import ParsedRows
from skewless.contract.storage.push_target import PushTarget
from skewless.contract.timestamps import to_micros
from skewless.online.push import push
from skewless.online.push.push import Check, PushedRows, TableRefused, unchecked
from skewless.online.push.stream_entries import StreamEntries, StreamEntry
from skewless.online.store.connection import RedisUnreachable
from skewless.online.store.redis_errors import StoreFull, StoreReadOnly
from skewless.online.store.store import SyncOnlineStore
from skewless.runtime.errors import FeastRegistryUnavailable, SourceMismatch

AWAY = (RedisUnreachable, StoreFull, StoreReadOnly, RemovalUnfinished, TableRefused, FeastRegistryUnavailable)
"""What is nobody's entry's fault, and passes."""

Find = Callable[[], Mapping[str, PushTarget]]
Stopping = Callable[[], bool]
_LONGEST_PAUSE = timedelta(seconds=2)
_REFRESH_S = 60.0
_MISSING_S = 2.0


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """Entries a batch; when a consumer counts as dead; how long to wait for new entries; how often an entry may be
    handed out before it is taken for the one that kills consumers.
    """

    batch: int = 1_000
    idle: timedelta = timedelta(seconds=30)
    block: timedelta = timedelta(seconds=1)
    deliveries: int = 10


@dataclass(slots=True)
class StreamResult:
    """What a consumer did: entries done, their rows, and entries buried. `gone`: those in hand that others did, or that
    were erased, before it came to them.
    """

    entries: int = 0
    rows: int = 0
    buried: int = 0
    gone: int = 0


@dataclass(eq=False)
class RowsNotOnline(SkewlessError):
    """Rows of the stream are in their table and not in the online store."""

    view: str
    reason: str

    def __str__(self) -> str:
        return f"events of feature view {self.view!r} are not online: {self.reason}"


@dataclass(slots=True)
class StreamConsumer:
    """One consumer of a project's stream. `find` looks up the push targets, anew from time to time, and `door` what is
    expected of the rows of a view; `waits` is told for what it waits, once until something is pushed again.
    """

    project: str
    data: Path
    store: SyncOnlineStore
    entries: StreamEntries
    find: Find
    clock: Callable[[], datetime]
    limits: StreamLimits = field(default_factory=StreamLimits)
    door: Callable[[str], Check] = lambda _: unchecked
    waits: Callable[[SkewlessError], None] = lambda _: None
    streamed: StreamResult = field(default_factory=StreamResult)
    _held: list[StreamEntry] = field(default_factory=list)
    _targets: Mapping[str, PushTarget] = field(default_factory=dict)
    _rows: dict[str, PushedRows] = field(default_factory=dict)
    _doors: dict[str, Check] = field(default_factory=dict)
    _looked: float = float("-inf")
    _away: type[SkewlessError] | None = None

    def run(self, stopping: Stopping, *, once: bool = False) -> StreamResult:
        """Push until `stopping`, or with `once` until there is nothing to push. Goes on through every outage."""
        while not stopping():
            for attempt in stamina.retry_context(
                on=AWAY, attempts=None, timeout=None, wait_initial=0.05, wait_max=_LONGEST_PAUSE, wait_jitter=0.05
            ):
                with attempt:
                    if stopping():
                        break
                    found = self._told_step(wait=not once)
            if once and not stopping() and not found:
                break
        return self.streamed

    def _told_step(self, *, wait: bool) -> int:
        try:
            found = self.step(wait=wait)
        except AWAY as error:
            if type(error) is not self._away:
                self._away = type(error)
                self.waits(error)
            raise
        self._away = None
        return found

    def step(self, *, wait: bool) -> int:
        """Push one batch; how many entries it had. Raises: one of AWAY, and tries the same batch again when called."""
        if not self._held:
            self.entries.open()
            self._held = self.entries.claim(self.limits.batch, self.limits.idle // timedelta(milliseconds=1))
        if not self._held:
            block = self.limits.block // timedelta(milliseconds=1) if wait else None
            self._held = self.entries.read(self.limits.batch, block)
        found = len(self._held)
        by_view: dict[str, list[tuple[StreamEntry, ParsedRows]]] = {}
        for entry in list(self._held):
            parsed = self._parsed(entry)
            if isinstance(parsed, str):
                self._bury(entry, parsed)
            else:
                by_view.setdefault(entry.fields[b"view"].decode(), []).append((entry, parsed))
        for view, some in by_view.items():
            self._push(view, some)
        return found

    def _parsed(self, entry: StreamEntry) -> ParsedRows | str:
        """The rows of an entry, or why it cannot be pushed."""
        if entry.deliveries > self.limits.deliveries:
            return f"it was handed out {entry.deliveries} times and never done"
        try:
            view, content = entry.fields[b"view"].decode(), entry.fields[b"rows"]
        except (KeyError, UnicodeDecodeError):
            return "it lacks a field: an entry has view and rows"
        try:
            parsed = orjson.loads(content)
            rows = self._reader(view)
            return rows.parse(parsed) if isinstance(parsed, list) else rows.parse([parsed])
        except orjson.JSONDecodeError as error:
            return f"its rows are not JSON: {error.msg}"
        except (InvalidRows, NotPushable, InvalidInput) as error:
            return str(error)

    def _reader(self, view: str) -> PushedRows:
        """Raises: NotPushable."""
        age = time.monotonic() - self._looked
        if age > _REFRESH_S or (view not in self._targets and age > _MISSING_S):
            self._refresh(view)
        if view not in self._targets:
            raise NotPushable(view, "there is no such online feature view")
        if view not in self._rows:
            self._rows[view], self._doors[view] = PushedRows(self.project, self._targets[view]), self.door(view)
        return self._rows[view]

    def _refresh(self, view: str) -> None:
        """Look up the targets. Those that are known stay while the registry is away."""
        try:
            self._targets, self._rows = self.find(), {}
        except FeastRegistryUnavailable:
            if view not in self._targets:
                raise
        self._looked = time.monotonic()

    def _push(self, view: str, some: Sequence[tuple[StreamEntry, ParsedRows]]) -> None:
        """Push entries of one view. What refuses all of them together may be one's fault: then one by one."""
        ours = self._ours([entry for entry, _ in some])
        some = [(entry, parsed) for entry, parsed in some if entry.id in ours]
        if not some:
            return
        try:
            rows = self._pushed(view, [parsed for _, parsed in some])
        except (SourceMismatch, InvalidRows, InvalidInput, RowsNotOnline) as error:
            if len(some) == 1:
                self._bury(some[0][0], str(error))
                return
            for one in some:
                self._push(view, [one])
            return
        self.entries.done([entry for entry, _ in some])
        self._forget([entry for entry, _ in some])
        self.streamed.entries += len(some)
        self.streamed.rows += rows

    def _pushed(self, view: str, parsed: Sequence[ParsedRows]) -> int:
        rows, received = self._reader(view), to_micros(self.clock())
        batch = rows.batch(parsed, received)
        # A store that takes nothing is found out before the table gets rows that would come again.
        self.store.prepare(rows.view)
        done = push.run(self.project, rows.target, batch, self.data, self.store, received, self._doors[view])
        if isinstance(done.refusal, AWAY):
            raise done.refusal
        if done.refusal is not None:
            raise RowsNotOnline(view, str(done.refusal))
        return done.rows

    def _ours(self, entries: Sequence[StreamEntry]) -> set[bytes]:
        """Which of these are ours to do still. The others are let go: they would bring an erased subject back."""
        ours = {entry.id for entry in self.entries.held(entries)}
        gone = [entry for entry in entries if entry.id not in ours]
        self._forget(gone)
        self.streamed.gone += len(gone)
        return ours

    def _bury(self, entry: StreamEntry, reason: str) -> None:
        if not self._ours([entry]):
            return
        self.entries.bury(entry, reason)
        self._forget([entry])
        self.streamed.buried += 1

    def _forget(self, entries: Sequence[StreamEntry]) -> None:
        gone = {entry.id for entry in entries}
        self._held = [entry for entry in self._held if entry.id not in gone]
