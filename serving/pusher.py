"""Takes pushed rows: into the table, durably, and then into the online store.

Group commit: the rows that arrive for a view while one commit runs make up the next one, so that many writers share
one part, one fsync and one trip to Redis, and a lone writer waits for nobody. Two commits may run at once: while the
disk has one, the store has the other.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import monotonic
from typing import cast

import numpy as np
import orjson
import structlog

from serving.contract.errors import InvalidInput, InvalidRows
from serving.contract.json_constants import escaped
from serving.contract.parts import write_part
from serving.contract.pushed_rows import Batch, Parsed, RowsReader, online_rows, part_table
from serving.contract.target import Target, check_target, parse_target, target_field
from serving.errors import MalformedBody, StoreUnavailable, TableUnavailable, UnknownView
from serving.metrics import Metrics
from serving.predictor import Clock
from serving.push_store import PushStore
from serving.store import Store

MAX_ROWS = 10_000
_ROWS_A_COMMIT = 50_000
_COMMITS = 2
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Pushed:
    """What became of one push; all of its rows are in the table. `waiting`: those that become true or known later.

    `unreached`: why the others are not in the online store; empty where they are.
    """

    rows: int
    waiting: int
    unreached: str


@dataclass(slots=True)
class _Lane:
    """One view's rows on their way."""

    reader: RowsReader
    folder: Path
    loaded: float
    queue: list[tuple[Parsed, asyncio.Future[Pushed]]] = field(default_factory=list)
    running: set[asyncio.Task[None]] = field(default_factory=set)


class Pusher:
    """Pushes to the views of one project, whose targets are looked up in the store's catalog every `refresh_s`."""

    def __init__(
        self,
        project: str,
        data: Path,
        store: Store,
        writer: PushStore,
        metrics: Metrics,
        clock: Clock,
        *,
        refresh_s: float,
    ) -> None:
        self._project, self._data, self._clock = project, data, clock
        self._store, self._writer, self._metrics, self._refresh = store, writer, metrics, refresh_s
        self._lanes: dict[str, _Lane] = {}

    async def push(self, view: str, body: bytes) -> Pushed:
        """Push the rows of a body `{"rows": [...]}`; nothing is stored unless all of them fit.

        Raises: UnknownView, NotPushable, MalformedBody, InvalidRows, StoreUnavailable (the catalog), TableUnavailable.
        """
        lane = await self._lane(view)
        parsed = lane.reader.read(_rows(view, body), "/rows")
        done: asyncio.Future[Pushed] = asyncio.get_running_loop().create_future()
        lane.queue.append((parsed, done))
        if len(lane.running) < _COMMITS:
            lane.running.add(asyncio.create_task(self._drain(lane)))
        return await done

    async def close(self) -> None:
        """Finish what is on its way."""
        running = [task for lane in self._lanes.values() for task in lane.running]
        await asyncio.gather(*running, return_exceptions=True)
        await self._writer.close()

    async def _lane(self, view: str) -> _Lane:
        lane = self._lanes.get(view)
        if lane is not None and monotonic() - lane.loaded < self._refresh:
            return lane
        name = target_field(view)
        try:
            entry = (await self._store.catalog(self._project, [name]))[name]
        except StoreUnavailable:
            if lane is None:
                raise
            return lane  # the table can still take rows, and what a view means changes rarely
        target = parse_target(entry) if entry else None
        if target is None:
            self._lanes.pop(view, None)
            raise UnknownView(view)
        return self._refreshed(view, lane, check_target(target))

    def _refreshed(self, view: str, lane: _Lane | None, target: Target) -> _Lane:
        if lane is None or lane.reader.target != target:
            lane = _Lane(RowsReader(self._project, target), self._data / target.folder, monotonic())
        lane.loaded = monotonic()
        self._lanes[view] = lane
        return lane

    async def _drain(self, lane: _Lane) -> None:
        try:
            while lane.queue:
                taken, rows = 0, 0
                for parsed, _ in lane.queue:
                    taken, rows = taken + 1, rows + len(parsed.rows)
                    if rows >= _ROWS_A_COMMIT:
                        break
                waiting, lane.queue = lane.queue[:taken], lane.queue[taken:]
                await self._commit(lane, waiting)
        finally:
            lane.running.discard(cast("asyncio.Task[None]", asyncio.current_task()))

    async def _commit(self, lane: _Lane, waiting: list[tuple[Parsed, asyncio.Future[Pushed]]]) -> None:
        try:
            pushed = await self._stored(lane, [parsed for parsed, _ in waiting])
        except BaseException as error:
            for _, done in waiting:
                if not done.done():
                    done.set_exception(error)
            if not isinstance(error, Exception):
                raise
            return
        for (_, done), one in zip(waiting, pushed, strict=True):
            if not done.done():
                done.set_result(one)

    async def _stored(self, lane: _Lane, parsed: list[Parsed]) -> list[Pushed]:
        now = self._clock()
        batch = lane.reader.batch(parsed, now)
        write = partial(write_part, lane.folder, part_table(lane.reader.target, batch), now)
        try:
            await asyncio.to_thread(write)
        except OSError as error:
            _log.error("push_failed", view=batch.view.stored_as, folder=str(lane.folder), error=repr(error))
            raise TableUnavailable(batch.view.stored_as, error.strerror or type(error).__name__) from error
        self._metrics.push_commits.inc()
        due = batch.due(now)
        unreached = await self._online(batch, due, [key for one in parsed for key in one.keys])
        late = np.cumsum([0, *(~due).astype(int)])
        ends = np.cumsum([0, *(len(one.rows) for one in parsed)])
        waits = (late[ends[1:]] - late[ends[:-1]]).tolist()
        return [Pushed(len(one.rows), wait, unreached) for one, wait in zip(parsed, waits, strict=True)]

    async def _online(self, batch: Batch, due: np.ndarray, keys: list[bytes]) -> str:
        """Write what is due; why that failed, or nothing."""
        rows = [pair for pair, now in zip(zip(keys, online_rows(batch), strict=True), due.tolist(), strict=True) if now]
        try:
            if rows:
                await self._writer.write(batch.view, rows)
        except StoreUnavailable as error:
            _log.warning("push_not_online", view=batch.view.stored_as, rows=len(rows), error=str(error))
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
            raise InvalidRows(view, (InvalidInput(f"/{escaped(name)}", "is unknown; known is rows"),))
    rows = parsed.get("rows")
    if not isinstance(rows, list) or not 1 <= len(rows) <= MAX_ROWS:
        raise InvalidRows(view, (InvalidInput("/rows", f"must be an array of 1 to {MAX_ROWS} rows"),))
    return rows
