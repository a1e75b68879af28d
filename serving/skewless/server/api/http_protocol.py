"""HTTP/1.1 as RFC 9110 and 9112 have it, where uvicorn's protocol differs, and the limits of a connection.

- Upgrades (`Upgrade: h2c`, as Java's HttpClient sends it, or `websocket`) are ignored: the request is answered as it is.
- Fields after a chunked body are dropped: they are no headers.
- A request of HTTP/1.1 has exactly one `Host`.
- A client that has closed its side of the connection after its request gets its answer.
- Who does not read answers is not read from.
- What cannot be parsed, is too long or takes too long is answered by problem details with a request id.

Held by tests/server/api/test_http_messages.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sized
from typing import Any

import httptools
from starlette.responses import Response
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from skewless.contract.errors import SkewlessError
from skewless.server.api import problems
from skewless.server.api.connections import Connections
from skewless.server.api.request_ids import resolve_request_id
from skewless.server.errors import (
    ConnectionsExhausted,
    HeadTooLong,
    MalformedMessage,
    MethodNotSupported,
    RequestTimedOut,
    VersionNotSupported,
)

VERSIONS = ("1.0", "1.1")
CLOSE = b"connection: close\r\n"
_OPERATION = (b"/healthz", b"/readyz", b"/metrics")
_OF_UPGRADES = (b"upgrade", b"http2-settings")


class AnswersFirst(FlowControl):
    """Does not read on while requests wait for an answer, or answers to be read: uvicorn's own reads for each answer as much
    as a buffer holds.
    """

    def __init__(self, transport: asyncio.Transport, waiting: Sized) -> None:
        super().__init__(transport)
        self._waiting = waiting

    def resume_reading(self) -> None:
        if not self._waiting and not self.write_paused:
            super().resume_reading()


class HttpProtocol(HttpToolsProtocol):
    """uvicorn's protocol for an application that may have `connections`."""

    cycle: Any

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._open: Connections | None = getattr(self.app, "connections", None)
        if self._open is not None:
            self.timeout_keep_alive = self._open.limits.idle_s
        self._in_head = True
        self._head_bytes = 0
        self._spare = False
        self._receiving_since: float | None = None
        self._unread_since: float | None = None

    # What asyncio calls.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.flow = AnswersFirst(transport, self.pipeline)
        self._wait_for_request()
        if self._open is not None:
            self._open.open.add(self)
            self._spare = self._open.crowded
            if self._open.full:
                transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._open is not None:
            self._open.open.discard(self)

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        self._head_bytes += len(data)
        while True:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                if self.parser.get_method() == b"CONNECT":
                    self._refuse(MethodNotSupported("CONNECT"))
                    return
                data = self._without_upgrade() + data[upgrade.args[0] :]
            except httptools.HttpParserError as error:
                cause = error.__context__
                self._refuse(cause if isinstance(cause, SkewlessError) else MalformedMessage(str(error)))
                return
            else:
                if self._in_head and self._open is not None and self._head_bytes > self._open.limits.head_bytes:
                    self._refuse(HeadTooLong(self._open.limits.head_bytes))
                elif self._receiving_since is None and (self.cycle is None or self.cycle.response_complete):
                    self._wait_for_request()
                return

    def eof_received(self) -> bool:  # type: ignore[override]
        """Whether the connection stays open to be written to."""
        cycle = self.cycle
        if cycle is None or cycle.response_complete or cycle.more_body:
            return False
        cycle.keep_alive = False
        return True

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread_since = self.loop.time()
        self.flow.pause_reading()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._unread_since = None
        self.flow.resume_reading()

    # What the parser calls.

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._begin_head()

    def _wait_for_request(self) -> None:
        if self.timeout_keep_alive_task is None and not self.transport.is_closing():
            idle_s, end = self.timeout_keep_alive, self.timeout_keep_alive_handler
            self.timeout_keep_alive_task = self.loop.call_later(idle_s, end)

    def _begin_head(self) -> None:
        self._in_head, self._head_bytes = True, 0
        self._receiving_since = self.loop.time()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head = False
        if not self.parser.should_upgrade():
            self.check_head()
            if self._open is not None:
                self._open.through_asgi.inc()
            super().on_headers_complete()

    def check_head(self) -> None:
        """Raises: HeadTooLong, MalformedMessage, VersionNotSupported, ConnectionsExhausted."""
        version = self.parser.get_http_version()
        if version not in VERSIONS:
            raise VersionNotSupported(version)
        hosts = sum(1 for name, _ in self.headers if name == b"host")
        if hosts > 1 or (version == "1.1" and not hosts):
            raise MalformedMessage(f"it has {hosts or 'no'} Host headers, and HTTP/1.1 wants one")
        if self._open is not None:
            limit = self._open.limits.head_bytes
            if len(self.url) + sum(len(name) + len(value) for name, value in self.headers) > limit:
                raise HeadTooLong(limit)
            if self._spare and self.url.partition(b"?")[0] not in _OPERATION:
                raise ConnectionsExhausted(self._open.limits.connections)

    def on_message_complete(self) -> None:
        if not self.parser.should_upgrade():
            self._receiving_since = None
            super().on_message_complete()

    # The rest.

    def expire(self, now: float) -> None:
        """End the connection if a request takes too long to arrive, or its answer to be read. `now` is the loop's time."""
        if self._open is None or self.transport.is_closing():
            return
        limits = self._open.limits
        if self.flow.read_paused and self._receiving_since is not None:
            self._receiving_since = now  # it is not the client who lets the request wait
        if self._unread_since is not None and now - self._unread_since > limits.send_s:
            self.transport.abort()
        elif self._receiving_since is not None and now - self._receiving_since > limits.receive_s:
            self._refuse(RequestTimedOut(limits.receive_s))

    def _without_upgrade(self) -> bytes:
        """The head of the request that asks for an upgrade, as if it did not. An upgrade may always be ignored, says RFC 9110."""
        lines = [b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())]
        for name, value in self.headers:
            if name == b"connection":
                tokens = [token.strip() for token in value.split(b",")]
                kept = b", ".join(token for token in tokens if token.lower() not in _OF_UPGRADES)
                lines += [b"connection: %b" % kept] if kept else []
            elif name not in _OF_UPGRADES:
                lines.append(b"%b: %b" % (name, value))
        return b"\r\n".join([*lines, b"", b""])

    def _refuse(self, error: SkewlessError) -> None:
        """Answer by an error and end the connection. Where answers to earlier requests are under way, they are the last."""
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete and not cycle.more_body:
            cycle.keep_alive = False
            self.flow.pause_reading()
            return
        if self.pipeline:  # an answer before it would be taken for its own
            self.transport.close()
            return
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True
            cycle.message_event.set()
        path = self.url.partition(b"?")[0].decode("latin-1") or "/"
        response = problems.below_asgi(path, resolve_request_id(b""), error)
        self.transport.write(self.response_bytes(response, CLOSE))
        self.transport.close()

    def response_bytes(self, response: Response, connection: bytes) -> bytes:
        """A response as it is sent; `connection` is the header line of that name, or nothing."""
        lines = header_lines([*self.server_state.default_headers, *response.raw_headers]) + connection
        return b"%b%b\r\n%b" % (STATUS_LINE[response.status_code], lines, bytes(response.body))

    def send_400_response(self, msg: str) -> None:
        """What uvicorn calls where it finds a fault by itself."""
        self._refuse(MalformedMessage(msg))


def header_lines(headers: list[tuple[bytes, bytes]]) -> bytes:
    """Headers as they are sent."""
    return b"".join(b"%b: %b\r\n" % header for header in headers)
