"""The server's writes to the online store: an asyncio shell around the contract's write protocol, for pushed rows."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, TypeVar

import hiredis
from redis.crc import key_slot

from skewless.contract.errors import RemovalUnfinished
from skewless.contract.plan import PlanView
from skewless.contract.storage.write_protocol import Exchange, KeyedRows, RedisCommand, push
from skewless.server.errors import StoreUnavailable
from skewless.server.online_store.client import RedisClient
from skewless.server.online_store.connection import first_word

Result = TypeVar("Result")


class OnlineStoreWriter:
    """Writes rows of one project. A write may be repeated, so a lost connection is tried once more."""

    def __init__(self, url: str, project: str, *, timeout_s: float) -> None:
        self._server = RedisClient(url, timeout_s=timeout_s)
        self._project, self._timeout = project, timeout_s

    async def write(self, view: PlanView, rows: KeyedRows, now: int) -> None:
        """Make the view's rows readable and write those that win; all are acknowledged when this returns.

        `now` is in microseconds. Raises: StoreUnavailable; any part may have been written then, and writing all again is
        harmless.
        """
        exchange = push(self._project, view, rows, now, key_slot if self._server.clustered else None)
        try:
            async with asyncio.timeout(self._timeout):
                written = await self._exchange(exchange)
        except TimeoutError as error:
            raise StoreUnavailable(self._server.url, f"did not answer within {self._timeout:g} s") from error
        except RemovalUnfinished as error:
            reason = f"takes no rows of {view.stored_as!r}: that view is being removed"
            raise StoreUnavailable(self._server.url, reason) from error
        if written.no_hashes:
            reason = f"holds something else than rows at {len(written.no_hashes)} keys"
            raise StoreUnavailable(self._server.url, reason)

    async def close(self) -> None:
        """Close all connections."""
        self._server.close()

    async def _exchange(self, exchange: Exchange[Result]) -> Result:
        """Run an exchange of the write protocol; its result."""
        try:
            commands = next(exchange)
            while True:
                commands = exchange.send(await self._replies(commands))
        except StopIteration as end:
            result: Result = end.value
        return result

    async def _replies(self, commands: Sequence[RedisCommand]) -> list[Any]:
        """Raises: StoreUnavailable, also where the server refuses one of the commands."""
        replies = await self._server.execute(commands, _encoded)
        for reply in replies:
            if isinstance(reply, Exception):
                # A demoted primary refuses writes: the next connection looks for the new primary.
                self._server.close()
                raise StoreUnavailable(self._server.url, f"does not take rows ({first_word(reply)})")
        return replies


def _encoded(commands: Sequence[RedisCommand]) -> bytes:
    packed: list[Any] = [command.arguments for command in commands]  # hiredis declares a tuple of one argument
    return b"".join(map(hiredis.pack_command, packed))
