"""One connection to Redis that all requests of a worker share: written once a loop tick, answered in order.

What a dying connection leaves unanswered is asked again on the next one: reads, and writes that may be repeated.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from ssl import SSLContext
from typing import Any

import hiredis
from redis.asyncio.connection import SSLConnection, UnixDomainSocketConnection, parse_url

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.02, 0.5
_ATTEMPTS = 2


class HandshakeRefused(Exception):
    """The server answered the handshake with an error; the text is its first word."""


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """Where a Redis listens and how it lets us in; `path` is set for a Unix socket, `ssl` for TLS."""

    host: str
    port: int
    path: str
    ssl: SSLContext | None
    handshake: tuple[bytes, ...]

    @classmethod
    def parse(cls, url: str) -> RedisAddress:
        """What redis-py takes a URL for. Raises: ValueError."""
        given: dict[str, Any] = dict(parse_url(url))
        kind = given.pop("connection_class", None)
        handshake = []
        if given.get("password"):
            user = [given["username"]] if given.get("username") else []
            handshake.append(command("AUTH", *user, given["password"]))
        if given.get("db"):
            handshake.append(command("SELECT", str(given["db"])))
        return cls(
            host=given.get("host", "localhost"),
            port=given.get("port", 6379),
            path=given.get("path", "") if kind is UnixDomainSocketConnection else "",
            ssl=SSLConnection(**given).ssl_context.get() if kind is SSLConnection else None,
            handshake=tuple(handshake),
        )


def command(*words: str) -> bytes:
    """A command as Redis reads it (RESP2)."""
    parts = [word.encode() for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)


def first_word(error: object) -> str:
    """Texts of the server are kept to their first word."""
    return str(error).partition(" ")[0]


class _PendingReplies:
    """Who waits for `wanted` replies until `deadline` (by the loop's clock)."""

    __slots__ = ("deadline", "future", "replies", "wanted")

    def __init__(self, future: asyncio.Future[list[Any]], wanted: int, deadline: float) -> None:
        self.future, self.wanted, self.deadline = future, wanted, deadline
        self.replies: list[Any] = []


class PipelinedConnection(asyncio.Protocol):
    """One connection. `usable` ends when it is lost, or when an answer is overdue: then it only awaits the others."""

    def __init__(self, loop: asyncio.AbstractEventLoop, timeout_s: float) -> None:
        self.usable = True
        self._loop, self._timeout = loop, timeout_s
        self._transport: asyncio.Transport | None = None
        self._reader = hiredis.Reader()
        self._waiters: deque[_PendingReplies] = deque()
        self._unsent: list[bytes] = []
        self._watched = False

    def ask(self, commands: bytes, replies: int) -> asyncio.Future[list[Any]]:
        """The replies to some commands. Fails with TimeoutError, or ConnectionError where the link is lost."""
        future = self._loop.create_future()
        self._waiters.append(_PendingReplies(future, replies, self._loop.time() + self._timeout))
        if not self._unsent:
            self._loop.call_soon(self._flush)
        self._unsent.append(commands)
        if not self._watched:
            self._watched = True
            self._loop.call_later(self._timeout, self._watch)
        return future

    def close(self) -> None:
        self.usable = False
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def connection_lost(self, exc: Exception | None) -> None:
        self.usable = False
        waiters, self._waiters = self._waiters, deque()
        for waiter in waiters:
            if not waiter.future.done():
                waiter.future.set_exception(ConnectionError(str(exc or "closed")))

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        waiters, gets = self._waiters, self._reader.gets
        try:
            while waiters:
                reply = gets()
                if reply is False:
                    return
                waiter = waiters[0]
                waiter.replies.append(reply)
                if len(waiter.replies) == waiter.wanted:
                    waiters.popleft()
                    if not waiter.future.done():
                        waiter.future.set_result(waiter.replies)
        except hiredis.ProtocolError:
            self.close()

    def _flush(self) -> None:
        unsent, self._unsent = self._unsent, []
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(b"".join(unsent))

    def _watch(self) -> None:
        """Give up those who are overdue. Their replies may still come, and are dropped then."""
        now = self._loop.time()
        for waiter in self._waiters:
            if waiter.deadline > now:
                self._loop.call_at(waiter.deadline, self._watch)
                return
            self.usable = False
            if not waiter.future.done():
                waiter.future.set_exception(TimeoutError())
        self._watched = False
        if not self.usable:
            self.close()


class ReconnectingClient:
    """Opens a link when one is asked for, and another when that is lost; after a failure only after a pause."""

    def __init__(self, address: RedisAddress, timeout_s: float) -> None:
        self._address, self._timeout = address, timeout_s
        self._link: PipelinedConnection | None = None
        self._opening = asyncio.Lock()
        self._pause, self._closed_until = 0.0, 0.0
        self._failure: OSError | HandshakeRefused = OSError()

    async def ask(self, commands: bytes, replies: int) -> list[Any]:
        """The replies to some commands that may be repeated, errors among them, within the time limit.

        Raises: OSError (TimeoutError among them), HandshakeRefused.
        """
        link = self._link
        if link is not None and link.usable:
            try:
                return await link.ask(commands, replies)
            except ConnectionError:
                pass  # it died with the question: ask again on another
        async with asyncio.timeout(self._timeout):
            for _ in range(_ATTEMPTS - 1):
                try:
                    return await (await self._opened()).ask(commands, replies)
                except ConnectionError:
                    self._check_pause()
            return await (await self._opened()).ask(commands, replies)

    def close(self) -> None:
        if self._link is not None:
            self._link.close()

    async def _opened(self) -> PipelinedConnection:
        """The usable link, opened by whoever comes first."""
        async with self._opening:
            if self._link is not None and self._link.usable:
                return self._link
            self._check_pause()
            try:
                self._link = await self._open()
            except (OSError, HandshakeRefused, asyncio.CancelledError) as error:
                self._failure = TimeoutError() if isinstance(error, asyncio.CancelledError) else error
                self._pause = min(self._pause * 2 or _FIRST_PAUSE_S, _LONGEST_PAUSE_S)
                self._closed_until = asyncio.get_running_loop().time() + self._pause
                raise
            self._pause = 0.0
            return self._link

    def _check_pause(self) -> None:
        """Fail as the last attempt did while the pause after it lasts."""
        if asyncio.get_running_loop().time() < self._closed_until:
            raise type(self._failure)(*self._failure.args)

    async def _open(self) -> PipelinedConnection:
        loop, at = asyncio.get_running_loop(), self._address
        link = PipelinedConnection(loop, self._timeout)
        if at.path:
            await loop.create_unix_connection(lambda: link, at.path)
        else:
            name = at.host if at.ssl else None
            await loop.create_connection(lambda: link, at.host, at.port, ssl=at.ssl, server_hostname=name)
        if at.handshake:
            refused = [r for r in await link.ask(b"".join(at.handshake), len(at.handshake)) if isinstance(r, Exception)]
            if refused:
                link.close()
                raise HandshakeRefused(first_word(refused[0]))
        return link
