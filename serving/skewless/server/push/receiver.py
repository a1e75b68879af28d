"""Takes pushed rows: finds the lane of a view by the target that the online store's catalog gives it.

Held by tests/server/api/test_push.py.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from time import monotonic

from skewless.contract.storage.push_batch import PushRowsReader
from skewless.contract.storage.push_target import PushTarget, check_target, parse_target, target_field
from skewless.contract.timestamps import Clock
from skewless.server.errors import StoreUnavailable, UnknownView
from skewless.server.metrics.counters import ServerMetrics
from skewless.server.online_store.reader import OnlineStoreReader
from skewless.server.online_store.writer import OnlineStoreWriter
from skewless.server.push.group_commit import CommittedPush, GroupCommit


class PushReceiver:
    """Pushes to the views of one project, whose targets are looked up in the store's catalog every `refresh_s`."""

    def __init__(
        self,
        project: str,
        data: Path,
        store: OnlineStoreReader,
        writer: OnlineStoreWriter,
        metrics: ServerMetrics,
        clock: Clock,
        *,
        refresh_s: float,
    ) -> None:
        self._project, self._data, self._clock = project, data, clock
        self._store, self._writer, self._metrics, self._refresh = store, writer, metrics, refresh_s
        self._lanes: dict[str, tuple[GroupCommit, float]] = {}

    def at_hand(self, view: str) -> GroupCommit | None:
        """The lane of a view, where nothing need be looked up."""
        lane, loaded = self._lanes.get(view, (None, 0.0))
        return lane if monotonic() - loaded < self._refresh else None

    async def push(self, view: str, body: bytes) -> CommittedPush:
        """Push the rows of a body `{"rows": [...]}`; nothing is stored unless all of them fit.

        Raises: UnknownView, NotPushable, MalformedBody, InvalidRows, StoreUnavailable (the catalog), TableUnavailable.
        """
        lane = self.at_hand(view) or await self._looked_up(view)
        done: asyncio.Future[CommittedPush] = asyncio.get_running_loop().create_future()
        lane.push(body, done)
        return await done

    async def close(self) -> None:
        """Finish what is on its way."""
        await asyncio.gather(*[lane.close() for lane, _ in self._lanes.values()])
        await self._writer.close()

    async def _looked_up(self, view: str) -> GroupCommit:
        lane, _ = self._lanes.get(view, (None, 0.0))
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

    def _refreshed(self, view: str, lane: GroupCommit | None, target: PushTarget) -> GroupCommit:
        if lane is None or lane.reader.target != target:
            reader = PushRowsReader(self._project, target)
            lane = GroupCommit(reader, self._data / target.folder, self._writer, self._metrics, self._clock)
        self._lanes[view] = (lane, monotonic())
        return lane
