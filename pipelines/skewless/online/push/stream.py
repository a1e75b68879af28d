"""Pushes the events of a project's stream: at least once, in bounded batches, by any number of consumers.

An entry is acknowledged only after its rows are in the table and in the online store. Entries of a killed consumer are
claimed by another one; pushing rows twice is harmless. An entry that no consumer can push goes to the dead letters with
the reason. While the online store is unreachable or refuses writes, consumers wait and retry; known views need no registry
meanwhile. An entry that was erased from the stream while a consumer had it in hand is not pushed.
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
from skewless.runtime.result_counts import ResultCounts

OUTAGES = (RedisUnreachable, StoreFull, StoreReadOnly, RemovalUnfinished, TableRefused, FeastRegistryUnavailable)
"""Temporary errors that no entry caused: they are retried."""

FindTargets = Callable[[], Mapping[str, PushTarget]]
Stopping = Callable[[], bool]
_LONGEST_PAUSE = timedelta(seconds=2)
_REFRESH_S = 60.0
_MISSING_S = 2.0


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """Entries a batch; idle time after which a consumer counts as dead; how long to wait for new entries; deliveries of an
    entry after which it is assumed to kill consumers.
    """

    batch: int = 1_000
    idle: timedelta = timedelta(seconds=30)
    block: timedelta = timedelta(seconds=1)
    deliveries: int = 10


@dataclass(slots=True)
class StreamResult(ResultCounts):
    """Result of a consumer: entries pushed, their rows, and entries moved to the dead letters. `skipped`: entries in hand that
    another consumer claimed or that were erased before they were pushed.
    """

    entries: int = 0
    rows: int = 0
    dead_lettered: int = 0
    skipped: int = 0


@dataclass(eq=False)
class RowsNotOnline(SkewlessError):
    """Rows of the stream are in their table but not in the online store."""

    view: str
    reason: str

    def __str__(self) -> str:
        return f"events of feature view {self.view!r} are not online: {self.reason}"


@dataclass(slots=True)
class StreamConsumer:
    """One consumer of a project's stream. `find` looks up the push targets, from time to time again, and `check_of` the check
    of a view's rows; `on_outage` is called with the error when an outage begins, or changes to another error.
    """

    project: str
    data: Path
    store: SyncOnlineStore
    entries: StreamEntries
    find: FindTargets
    clock: Callable[[], datetime]
    limits: StreamLimits = field(default_factory=StreamLimits)
    check_of: Callable[[str], Check] = lambda _: unchecked
    on_outage: Callable[[SkewlessError], None] = lambda _: None
    streamed: StreamResult = field(default_factory=StreamResult)
    _in_hand: list[StreamEntry] = field(default_factory=list)
    _targets: Mapping[str, PushTarget] = field(default_factory=dict)
    _rows: dict[str, PushedRows] = field(default_factory=dict)
    _checks: dict[str, Check] = field(default_factory=dict)
    _refreshed_at: float = float("-inf")
    _outage: type[SkewlessError] | None = None

    def run(self, stopping: Stopping, *, once: bool = False) -> StreamResult:
        """Push until `stopping`, or with `once` until there is nothing to push. Retries through every outage."""
        while not stopping():
            for attempt in stamina.retry_context(
                on=OUTAGES, attempts=None, timeout=None, wait_initial=0.05, wait_max=_LONGEST_PAUSE, wait_jitter=0.05
            ):
                with attempt:
                    if stopping():
                        break
                    count = self._reported_step(wait=not once)
            if once and not stopping() and not count:
                break
        return self.streamed

    def _reported_step(self, *, wait: bool) -> int:
        try:
            count = self.step(wait=wait)
        except OUTAGES as error:
            if type(error) is not self._outage:
                self._outage = type(error)
                self.on_outage(error)
            raise
        self._outage = None
        return count

    def step(self, *, wait: bool) -> int:
        """Push one batch; how many entries it had. Raises: one of OUTAGES; the next call then tries the same batch again."""
        if not self._in_hand:
            self.entries.open()
            self._in_hand = self.entries.claim(self.limits.batch, self.limits.idle // timedelta(milliseconds=1))
        if not self._in_hand:
            block = self.limits.block // timedelta(milliseconds=1) if wait else None
            self._in_hand = self.entries.read(self.limits.batch, block)
        count = len(self._in_hand)
        by_view: dict[str, list[tuple[StreamEntry, ParsedRows]]] = {}
        for entry in list(self._in_hand):
            parsed = self._parsed(entry)
            if isinstance(parsed, str):
                self._dead_letter(entry, parsed)
            else:
                by_view.setdefault(entry.fields[b"view"].decode(), []).append((entry, parsed))
        for view, parsed_entries in by_view.items():
            self._push(view, parsed_entries)
        return count

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
        age = time.monotonic() - self._refreshed_at
        if age > _REFRESH_S or (view not in self._targets and age > _MISSING_S):
            self._refresh(view)
        if view not in self._targets:
            raise NotPushable(view, "there is no such online feature view")
        if view not in self._rows:
            self._rows[view], self._checks[view] = PushedRows(self.project, self._targets[view]), self.check_of(view)
        return self._rows[view]

    def _refresh(self, view: str) -> None:
        """Look up the targets. Known targets stay while the registry is unavailable."""
        try:
            self._targets, self._rows = self.find(), {}
        except FeastRegistryUnavailable:
            if view not in self._targets:
                raise
        self._refreshed_at = time.monotonic()

    def _push(self, view: str, parsed_entries: Sequence[tuple[StreamEntry, ParsedRows]]) -> None:
        """Push entries of one view. If the batch is refused, push them one by one: a single entry may be the cause."""
        pending = self._still_pending([entry for entry, _ in parsed_entries])
        parsed_entries = [(entry, parsed) for entry, parsed in parsed_entries if entry.id in pending]
        if not parsed_entries:
            return
        try:
            rows = self._pushed(view, [parsed for _, parsed in parsed_entries])
        except (SourceMismatch, InvalidRows, InvalidInput, RowsNotOnline) as error:
            if len(parsed_entries) == 1:
                self._dead_letter(parsed_entries[0][0], str(error))
                return
            for single in parsed_entries:
                self._push(view, [single])
            return
        self.entries.acknowledge([entry for entry, _ in parsed_entries])
        self._forget([entry for entry, _ in parsed_entries])
        self.streamed.entries += len(parsed_entries)
        self.streamed.rows += rows

    def _pushed(self, view: str, parsed: Sequence[ParsedRows]) -> int:
        rows, received = self._reader(view), to_micros(self.clock())
        batch = rows.batch(parsed, received)
        # Fail before writing the table if the store refuses writes: a retry would append the rows again.
        self.store.prepare(rows.view)
        result = push.run(self.project, rows.target, batch, self.data, self.store, received, self._checks[view])
        if isinstance(result.refusal, OUTAGES):
            raise result.refusal
        if result.refusal is not None:
            raise RowsNotOnline(view, str(result.refusal))
        return result.rows

    def _still_pending(self, entries: Sequence[StreamEntry]) -> set[bytes]:
        """The ids of those entries that are still pending here. The others are dropped: pushing them could restore erased rows."""
        pending = {entry.id for entry in self.entries.still_pending(entries)}
        skipped = [entry for entry in entries if entry.id not in pending]
        self._forget(skipped)
        self.streamed.skipped += len(skipped)
        return pending

    def _dead_letter(self, entry: StreamEntry, reason: str) -> None:
        if not self._still_pending([entry]):
            return
        self.entries.dead_letter(entry, reason)
        self._forget([entry])
        self.streamed.dead_lettered += 1

    def _forget(self, entries: Sequence[StreamEntry]) -> None:
        done = {entry.id for entry in entries}
        self._in_hand = [entry for entry in self._in_hand if entry.id not in done]
