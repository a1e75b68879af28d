"""Group commit of one view's pushed rows: first into the table, durably, then into the online store.

The rows that arrive while a commit runs make up the next one, so that many writers share one part, one fsync and one
round trip to Redis, and a single writer never waits for others. Two commits may run at once: one writes to the disk
while the other writes to the store.

Held by tests/server/api/test_push.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
import orjson
import pyarrow as pa
import structlog

from skewless.contract.errors import InvalidInput, InvalidRows
from skewless.contract.json_values import pointer_token
from skewless.contract.storage.push_batch import (
    ParsedRows,
    PushBatch,
    PushRowsReader,
    batch_beside,
    batch_keys,
    online_rows,
    part_table,
)
from skewless.contract.storage.push_target import PushTarget
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
    """The result of one push, whose rows are all in the table. `waiting`: rows that become true or known only later.

    `online_error`: why the other rows are not in the online store; empty where they are.
    """

    rows: int
    waiting: int
    online_error: str


class PendingPush(NamedTuple):
    """A push that waits for its commit."""

    parsed: ParsedRows
    sink: ResultSink[CommittedPush]


class GroupCommit:
    """Commits the pushes to one view of `project`, whose table is in `folder`; its other definitions get the rows too."""

    def __init__(
        self,
        project: str,
        reader: PushRowsReader,
        folder: Path,
        writer: OnlineStoreWriter,
        metrics: ServerMetrics,
        clock: Clock,
    ) -> None:
        self.reader, self.view = reader, reader.target.name
        self._project = project
        self._beside = [other for other in reader.target.also if reader.target.fills(other)]
        self._folder, self._writer, self._metrics, self._clock = folder, writer, metrics, clock
        self._queue: list[PendingPush] = []
        self._running: set[asyncio.Task[None]] = set()

    def push(self, body: bytes, sink: ResultSink[CommittedPush]) -> None:
        """Push the rows of a body `{"rows": [...]}`; nothing is stored unless all of them fit.

        Raises: MalformedBody, InvalidRows. The sink may get TableUnavailable.
        """
        self._queue.append(PendingPush(self.reader.read(_rows(self.view, body), "/rows"), sink))
        if len(self._running) < _COMMITS:
            self._running.add(asyncio.get_running_loop().create_task(self._drain()))

    async def close(self) -> None:
        """Finish the running commits."""
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _drain(self) -> None:
        try:
            while self._queue:
                await self._commit(self._next_batch())
        finally:
            self._running.discard(cast("asyncio.Task[None]", asyncio.current_task()))

    def _next_batch(self) -> list[PendingPush]:
        """Take the pushes of the next commit from the queue."""
        count, rows = 0, 0
        for pending in self._queue:
            count, rows = count + 1, rows + len(pending.parsed.rows)
            if rows >= _ROWS_A_COMMIT:
                break
        batch, self._queue = self._queue[:count], self._queue[count:]
        return batch

    async def _commit(self, batch: list[PendingPush]) -> None:
        try:
            committed = await self._store([pending.parsed for pending in batch])
        except BaseException as error:
            for pending in batch:
                if not pending.sink.done():
                    pending.sink.set_exception(error)
            if not isinstance(error, Exception):
                raise
            return
        for pending, push in zip(batch, committed, strict=True):
            if not pending.sink.done():
                pending.sink.set_result(push)

    async def _store(self, parsed: list[ParsedRows]) -> list[CommittedPush]:
        now = self._clock()
        batch = self.reader.batch(parsed, now)
        part = part_table(self.reader.target, batch)
        write = partial(write_part, self._folder, part, now)
        try:
            await asyncio.to_thread(write)
        except OSError as error:
            _log.error("push_failed", view=self.view, folder=str(self._folder), error=repr(error))
            raise TableUnavailable(self.view, error.strerror or type(error).__name__) from error
        self._metrics.push_commits.inc()
        due = batch.due(now)
        online_error = await self._write_online(batch, now, [key for push in parsed for key in push.keys])
        for other in self._beside:
            online_error = await self._write_beside(other, part, now) or online_error
        late = np.cumsum([0, *(~due).astype(int)])
        ends = np.cumsum([0, *(len(push.rows) for push in parsed)])
        waits = (late[ends[1:]] - late[ends[:-1]]).tolist()
        return [CommittedPush(len(push.rows), wait, online_error) for push, wait in zip(parsed, waits, strict=True)]

    async def _write_beside(self, other: PushTarget, part: pa.Table, now: UtcMicros) -> str:
        """As `_write_online`, for another definition of the table."""
        batch = batch_beside(other, part)
        try:
            keys = batch_keys(self._project, batch)
        except InvalidInput as error:
            return str(error)
        return await self._write_online(batch, now, keys)

    async def _write_online(self, batch: PushBatch, now: UtcMicros, keys: Sequence[bytes | None]) -> str:
        """Write the rows that are due to the online store. Returns why that failed, or an empty text."""
        packed = zip(keys, online_rows(batch), batch.due(now).tolist(), strict=True)
        rows = [(key, row) for key, row, ready in packed if ready and key is not None]
        try:
            if rows:
                await self._writer.write(batch.view, rows, now)
        except StoreUnavailable as error:
            _log.warning("push_not_online", view=self.view, rows=len(rows), error=str(error))
            return str(error)
        return ""


def _rows(view: str, body: bytes) -> list[object]:
    """The rows of a body. Raises: MalformedBody, InvalidRows."""
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
