"""One view's pushed rows on their way: into the table, durably, and then into the online store.

Group commit: the rows that arrive while one commit runs make up the next one, so that many writers share one part, one
fsync and one trip to Redis, and a lone writer waits for nobody. Two commits may run at once: while the disk has one,
the store has the other.

Held by tests/server/api/test_push.py.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
import orjson
import structlog

from skewless.contract.errors import InvalidInput, InvalidRows
from skewless.contract.json_values import pointer_token
from skewless.contract.storage.push_batch import ParsedRows, PushBatch, PushRowsReader, online_rows, part_table
from skewless.contract.timestamps import Clock, UtcMicros
from skewless.files.table_parts import write_part
from skewless.server.errors import MalformedBody, StoreUnavailable, TableUnavailable
from skewless.server.metrics.counters import ServerMetrics
from skewless.server.online_store.writer import OnlineStoreWriter
from skewless.server.predict.result_sink import ResultSink

MAX_ROWS = 10_000
_ROWS_A_COMMIT = 50_000
_COMMITS = 2
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class CommittedPush:
    """What became of one push; all of its rows are in the table. `waiting`: those that become true or known later.

    `unreached`: why the others are not in the online store; empty where they are.
    """

    rows: int
    waiting: int
    unreached: str


class PendingPush(NamedTuple):
    """A push that waits for its commit."""

    parsed: ParsedRows
    outcome: ResultSink[CommittedPush]


class GroupCommit:
    """The pushes to one view, whose table is in `folder`."""

    def __init__(
        self, reader: PushRowsReader, folder: Path, writer: OnlineStoreWriter, metrics: ServerMetrics, clock: Clock
    ) -> None:
        self.reader, self.view = reader, reader.view.stored_as
        self._folder, self._writer, self._metrics, self._clock = folder, writer, metrics, clock
        self._queue: list[PendingPush] = []
        self._running: set[asyncio.Task[None]] = set()

    def push(self, body: bytes, outcome: ResultSink[CommittedPush]) -> None:
        """Push the rows of a body `{"rows": [...]}`; nothing is stored unless all of them fit.

        Raises: MalformedBody, InvalidRows. The outcome may be TableUnavailable.
        """
        self._queue.append(PendingPush(self.reader.read(_rows(self.view, body), "/rows"), outcome))
        if len(self._running) < _COMMITS:
            self._running.add(asyncio.get_running_loop().create_task(self._drain()))

    async def close(self) -> None:
        """Finish what is on its way."""
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _drain(self) -> None:
        try:
            while self._queue:
                await self._commit(self._taken())
        finally:
            self._running.discard(cast("asyncio.Task[None]", asyncio.current_task()))

    def _taken(self) -> list[PendingPush]:
        """The next commit's pushes."""
        taken, rows = 0, 0
        for waiter in self._queue:
            taken, rows = taken + 1, rows + len(waiter.parsed.rows)
            if rows >= _ROWS_A_COMMIT:
                break
        some, self._queue = self._queue[:taken], self._queue[taken:]
        return some

    async def _commit(self, some: list[PendingPush]) -> None:
        try:
            pushed = await self._stored([waiter.parsed for waiter in some])
        except BaseException as error:
            for waiter in some:
                if not waiter.outcome.done():
                    waiter.outcome.set_exception(error)
            if not isinstance(error, Exception):
                raise
            return
        for waiter, one in zip(some, pushed, strict=True):
            if not waiter.outcome.done():
                waiter.outcome.set_result(one)

    async def _stored(self, parsed: list[ParsedRows]) -> list[CommittedPush]:
        now = self._clock()
        batch = self.reader.batch(parsed, now)
        write = partial(write_part, self._folder, part_table(self.reader.target, batch), now)
        try:
            await asyncio.to_thread(write)
        except OSError as error:
            _log.error("push_failed", view=self.view, folder=str(self._folder), error=repr(error))
            raise TableUnavailable(self.view, error.strerror or type(error).__name__) from error
        self._metrics.push_commits.inc()
        due = batch.due(now)
        unreached = await self._online(batch, now, due, [key for one in parsed for key in one.keys])
        late = np.cumsum([0, *(~due).astype(int)])
        ends = np.cumsum([0, *(len(one.rows) for one in parsed)])
        waits = (late[ends[1:]] - late[ends[:-1]]).tolist()
        return [CommittedPush(len(one.rows), wait, unreached) for one, wait in zip(parsed, waits, strict=True)]

    async def _online(self, batch: PushBatch, now: UtcMicros, due: np.ndarray, keys: list[bytes]) -> str:
        """Write what is due; why that failed, or nothing."""
        pairs = zip(keys, online_rows(batch), strict=True)
        rows = [pair for pair, ready in zip(pairs, due.tolist(), strict=True) if ready]
        try:
            if rows:
                await self._writer.write(batch.view, rows, now)
        except StoreUnavailable as error:
            _log.warning("push_not_online", view=self.view, rows=len(rows), error=str(error))
            return str(error)
        return ""


def _rows(view: str, body: bytes) -> list[object]:
    """Raises: MalformedBody, InvalidRows."""
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise MalformedBody(f"{error.msg} (line {error.lineno}, column {error.colno})") from None
    if not isinstance(parsed, dict):
        raise InvalidRows(view, (InvalidInput("", "must be an object with `rows`"),))
    for name in parsed:
        if name != "rows":
            raise InvalidRows(view, (InvalidInput(f"/{pointer_token(name)}", "is unknown; known is rows"),))
    rows = parsed.get("rows")
    if not isinstance(rows, list) or not 1 <= len(rows) <= MAX_ROWS:
        raise InvalidRows(view, (InvalidInput("/rows", f"must be an array of 1 to {MAX_ROWS} rows"),))
    return rows
