"""The online store as the server writes it: pushed rows under newest-wins."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import hiredis
from redis.crc import key_slot

from skewless.contract.plan import PlanView
from skewless.contract.storage.catalog import catalog_key, schema_entry, view_entry
from skewless.contract.storage.newest_wins import SCRIPT
from skewless.contract.storage.write_policy import WritePolicy
from skewless.server.errors import StoreUnavailable
from skewless.server.online_store.client import RedisClient
from skewless.server.online_store.connection import first_word

_ROWS_A_CALL = 500
Rows = Sequence[tuple[bytes, bytes]]


class RedisCommand(NamedTuple):
    """One command; in a cluster it goes where `key` is."""

    key: bytes
    words: tuple[Any, ...]


class OnlineStoreWriter:
    """Writes rows of one project. A write may be repeated, so a lost connection is tried once more."""

    def __init__(self, url: str, project: str, *, timeout_s: float) -> None:
        self._server = RedisClient(url, timeout_s=timeout_s)
        self._catalog, self._timeout = catalog_key(project), timeout_s

    async def write(self, view: PlanView, rows: Rows, now: int) -> None:
        """Make the view's rows readable and write those that win; all are acknowledged when this returns.

        `now` is in microseconds. Raises: StoreUnavailable; any part may have been written then, and writing all again is
        harmless.
        """
        try:
            async with asyncio.timeout(self._timeout):
                await self._write(view, rows, now)
        except TimeoutError as error:
            raise StoreUnavailable(self._server.url, f"did not answer within {self._timeout:g} s") from error

    async def close(self) -> None:
        """Give the connections back."""
        self._server.close()

    async def _write(self, view: PlanView, rows: Rows, now: int) -> None:
        told, _ = await self._asked(
            [
                self._about("HMGET", *WritePolicy.asked(view)),
                self._about("HSET", *_flat(schema_entry(view))),
            ]
        )
        terms = WritePolicy.of(view, told)
        if terms.removing:
            raise StoreUnavailable(self._server.url, f"takes no rows of {view.stored_as!r}: that view is being removed")
        calls = [*self._calls(view, rows, terms.horizon(now))]
        known = [self._about("HSETNX", *pair) for pair in view_entry(view).items()]
        answers = await self._asked([*calls, *known])
        # See `newest.SCRIPT`: the places of keys that are no hashes.
        strange = sum(len(answer) - 1 for answer in answers if isinstance(answer, list))
        if strange:
            raise StoreUnavailable(self._server.url, f"holds something else than rows at {strange} keys")

    def _about(self, name: str, *words: bytes) -> RedisCommand:
        """A command on the catalog."""
        return RedisCommand(self._catalog, (name, self._catalog, *words))

    def _calls(self, view: PlanView, rows: Rows, horizon: bytes | None) -> Iterator[RedisCommand]:
        """The script for all rows; in a cluster it takes those of one hash slot at a time."""
        first = [view.stored_as.encode()] if horizon is None else [view.stored_as.encode(), horizon]
        for group in _by_slot(rows) if self._server.clustered else [rows]:
            for at in range(0, len(group), _ROWS_A_CALL):
                keys, packed = zip(*group[at : at + _ROWS_A_CALL], strict=True)
                yield RedisCommand(keys[0], ("EVAL", SCRIPT, len(keys), *keys, *first, *packed))

    async def _asked(self, commands: Sequence[RedisCommand]) -> list[Any]:
        """The replies. Raises: StoreUnavailable, also where the server refuses one of the commands."""
        replies = await self._server.ask(commands, _encoded)
        for reply in replies:
            if isinstance(reply, Exception):
                # A primary that was demoted says so: whoever took its place is asked for with the next connection.
                self._server.close()
                raise StoreUnavailable(self._server.url, f"does not take rows ({first_word(reply)})")
        return replies


def _by_slot(rows: Rows) -> list[Rows]:
    slots: dict[int, list[tuple[bytes, bytes]]] = {}
    for pair in rows:
        slots.setdefault(key_slot(pair[0]), []).append(pair)
    return list(slots.values())


def _encoded(commands: Sequence[RedisCommand]) -> bytes:
    return b"".join([hiredis.pack_command(one.words) for one in commands])


def _flat(pairs: Mapping[bytes, bytes]) -> list[bytes]:
    return [word for pair in pairs.items() for word in pair]
