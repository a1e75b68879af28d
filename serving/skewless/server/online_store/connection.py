"""One connection to Redis that all requests of a worker share: written once a loop tick, answered in order.

Commands that a lost connection leaves unanswered are sent again on the next one, so they must be repeatable.
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
    """Address and credentials of a Redis; `path` is set for a Unix socket, `ssl` for TLS."""

    host: str
    port: int
    path: str
    ssl: SSLContext | None
    handshake: tuple[bytes, ...]

    @classmethod
    def parse(cls, url: str) -> RedisAddress:
        """Parse a URL as redis-py does. Raises: ValueError."""
        options: dict[str, Any] = dict(parse_url(url))
        kind = options.pop("connection_class", None)
        handshake = []
        if options.get("password"):
            user = [options["username"]] if options.get("username") else []
            handshake.append(command("AUTH", *user, options["password"]))
        if options.get("db"):
            handshake.append(command("SELECT", str(options["db"])))
        return cls(
            host=options.get("host", "localhost"),
            port=options.get("port", 6379),
            path=options.get("path", "") if kind is UnixDomainSocketConnection else "",
            ssl=SSLConnection(**options).ssl_context.get() if kind is SSLConnection else None,
            handshake=tuple(handshake),
        )


def command(*parts: str) -> bytes:
    """A command in RESP2."""
    encoded = [part.encode() for part in parts]
    return b"*%d\r\n" % len(encoded) + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in encoded)


def first_word(error: object) -> str:
    """The first word of a server's error (its code): no message of ours quotes more."""
    return str(error).partition(" ")[0]


class _PendingReplies:
    """A future for `expected` replies until `deadline` (by the loop's clock)."""

    __slots__ = ("deadline", "expected", "future", "replies")

    def __init__(self, future: asyncio.Future[list[Any]], expected: int, deadline: float) -> None:
        self.future, self.expected, self.deadline = future, expected, deadline
        self.replies: list[Any] = []


class PipelinedConnection(asyncio.Protocol):
    """One connection. It is `usable` until it is lost or a reply is overdue; then it only receives pending replies."""

    def __init__(self, loop: asyncio.AbstractEventLoop, timeout_s: float) -> None:
        self.usable = True
        self._loop, self._timeout = loop, timeout_s
        self._transport: asyncio.Transport | None = None
        self._reader = hiredis.Reader()
        self._pending: deque[_PendingReplies] = deque()
        self._unsent: list[bytes] = []
        self._watching = False

    def execute(self, commands: bytes, replies: int) -> asyncio.Future[list[Any]]:
        """The replies to some commands. Fails with TimeoutError, or ConnectionError where the connection is lost."""
        future = self._loop.create_future()
        self._pending.append(_PendingReplies(future, replies, self._loop.time() + self._timeout))
        if not self._unsent:
            self._loop.call_soon(self._flush)
        self._unsent.append(commands)
        if not self._watching:
            self._watching = True
            self._loop.call_later(self._timeout, self._check_deadlines)
        return future

    def close(self) -> None:
        self.usable = False
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def connection_lost(self, exc: Exception | None) -> None:
        self.usable = False
        queue, self._pending = self._pending, deque()
        for pending in queue:
            if not pending.future.done():
                pending.future.set_exception(ConnectionError(str(exc or "closed")))

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        queue, gets = self._pending, self._reader.gets
        try:
            while queue:
                reply = gets()
                if reply is False:
                    return
                pending = queue[0]
                pending.replies.append(reply)
                if len(pending.replies) == pending.expected:
                    queue.popleft()
                    if not pending.future.done():
                        pending.future.set_result(pending.replies)
        except hiredis.ProtocolError:
            self.close()

    def _flush(self) -> None:
        unsent, self._unsent = self._unsent, []
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(b"".join(unsent))

    def _check_deadlines(self) -> None:
        """Fail the futures that are overdue; replies that still arrive for them are dropped."""
        now = self._loop.time()
        for pending in self._pending:
            if pending.deadline > now:
                self._loop.call_at(pending.deadline, self._check_deadlines)
                return
            self.usable = False
            if not pending.future.done():
                pending.future.set_exception(TimeoutError())
        self._watching = False
        if not self.usable:
            self.close()


class ReconnectingClient:
    """Opens a connection for the first command, and another when it is lost; after a failure only after a pause."""

    def __init__(self, address: RedisAddress, timeout_s: float) -> None:
        self._address, self._timeout = address, timeout_s
        self._link: PipelinedConnection | None = None
        self._opening = asyncio.Lock()
        self._pause, self._closed_until = 0.0, 0.0
        self._failure: OSError | HandshakeRefused = OSError()

    async def execute(self, commands: bytes, replies: int) -> list[Any]:
        """The replies to some repeatable commands, error replies included, within the time limit.

        Raises: OSError (TimeoutError among them), HandshakeRefused.
        """
        link = self._link
        if link is not None and link.usable:
            try:
                return await link.execute(commands, replies)
            except ConnectionError:
                pass  # lost before the reply: send the commands again on another connection
        async with asyncio.timeout(self._timeout):
            for _ in range(_ATTEMPTS - 1):
                try:
                    return await (await self._usable_link()).execute(commands, replies)
                except ConnectionError:
                    self._check_pause()
            return await (await self._usable_link()).execute(commands, replies)

    def close(self) -> None:
        if self._link is not None:
            self._link.close()

    async def _usable_link(self) -> PipelinedConnection:
        """The usable connection; the first caller opens it."""
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
        """During the pause after a failure: raise that failure again."""
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
            refused = [
                r for r in await link.execute(b"".join(at.handshake), len(at.handshake)) if isinstance(r, Exception)
            ]
            if refused:
                link.close()
                raise HandshakeRefused(first_word(refused[0]))
        return link
