"""Receives pushed rows: finds the group commit of a view by its push target in the online store's catalog.

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
    """Receives pushes to the views of one project; their targets are read from the store's catalog every `refresh_s`."""

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
        self._store, self._writer, self._metrics, self._refresh_s = store, writer, metrics, refresh_s
        self._commits: dict[str, tuple[GroupCommit, float]] = {}

    def cached(self, view: str) -> GroupCommit | None:
        """The group commit of a view, or None where the catalog has to be read first."""
        commit, loaded = self._commits.get(view, (None, 0.0))
        return commit if monotonic() - loaded < self._refresh_s else None

    async def push(self, view: str, body: bytes) -> CommittedPush:
        """Push the rows of a body `{"rows": [...]}`; nothing is stored unless all of them fit.

        Raises: UnknownView, NotPushable, MalformedBody, InvalidRows, StoreUnavailable (the catalog), TableUnavailable.
        """
        commit = self.cached(view) or await self._look_up(view)
        result: asyncio.Future[CommittedPush] = asyncio.get_running_loop().create_future()
        commit.push(body, result)
        return await result

    async def close(self) -> None:
        """Finish the running commits."""
        await asyncio.gather(*[commit.close() for commit, _ in self._commits.values()])
        await self._writer.close()

    async def _look_up(self, view: str) -> GroupCommit:
        commit, _ = self._commits.get(view, (None, 0.0))
        name = target_field(view)
        try:
            entry = (await self._store.catalog(self._project, [name]))[name]
        except StoreUnavailable:
            if commit is None:
                raise
            return commit  # the table still takes rows, and a push target changes rarely
        target = parse_target(entry) if entry else None
        if target is None:
            self._commits.pop(view, None)
            raise UnknownView(view, self._project)
        return self._refresh_commit(view, commit, check_target(target))

    def _refresh_commit(self, view: str, commit: GroupCommit | None, target: PushTarget) -> GroupCommit:
        if commit is None or commit.reader.target != target:
            reader = PushRowsReader(self._project, target)
            commit = GroupCommit(
                self._project, reader, self._data / target.folder, self._writer, self._metrics, self._clock
            )
        self._commits[view] = (commit, monotonic())
        return commit
