"""The hot routes below ASGI: uvicorn's protocol, which answers plain predictions and pushes by itself.

A scope, a task, an event and a dozen messages a request cost uvicorn more than the answer costs us. An ordinary request
(a POST of JSON to a model or view that is ready) goes straight from the parser to the batch or the commit, and from there
to the socket. Every other request goes to uvicorn and the ASGI application, whose endpoints define the response.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE
from uvicorn.server import ServerState

from skewless.server.api.hot_exchange import HotEndpoint, HotExchange
from skewless.server.api.http_protocol import CLOSE, VERSIONS, HttpProtocol, header_lines
from skewless.server.api.request_ids import HEADER, resolve_request_id
from skewless.server.errors import BodyTooLarge

_JSON = (b"application/json", b"application/json; charset=utf-8", b"application/json;charset=utf-8")
_LONGEST_URL = 2_000
_KEEP_ALIVE = b"connection: keep-alive\r\n"
_RESPONSE = b"%bcontent-length: %d\r\ncontent-type: application/json\r\nx-request-id: %b\r\n\r\n%b"


class HotProtocol(HttpProtocol):
    """The protocol plus the application's `hot` endpoints. `cycle` is uvicorn's own or a HotExchange."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._hot: tuple[HotEndpoint, ...] = getattr(self.app, "hot", ())
        self._longest_body: int = getattr(self.app, "longest_body", 0)
        self._defaults: list[tuple[bytes, bytes]] = []
        self._lines = b""
        self._latest: list[tuple[bytes, bytes]] | None = None
        self._id_header = b""

    def on_message_begin(self) -> None:
        """Reset the parsed message; a scope is made only for requests that need one."""
        self.url = b""
        self.headers = []
        self.expect_100_continue = False
        self._begin_head()

    def on_headers_complete(self) -> None:
        self._in_head = False
        exchange = self._hot_exchange()
        if exchange is None:
            self._as_uvicorn()
        else:
            self.cycle = exchange

    def on_body(self, body: bytes) -> None:
        cycle = self.cycle
        if not isinstance(cycle, HotExchange):
            super().on_body(body)
        elif not cycle.response_complete:
            cycle.body += body
            if len(cycle.body) > self._longest_body:
                self.write_failure(cycle, BodyTooLarge(self._longest_body))

    def on_message_complete(self) -> None:
        cycle = self.cycle
        if not isinstance(cycle, HotExchange) or self.parser.should_upgrade():
            super().on_message_complete()
            return
        self._receiving_since = None
        cycle.more_body = False
        if cycle.response_complete:
            return
        try:
            started = cycle.begin()
        except Exception as error:  # noqa: BLE001 - answered as a problem of ours, or as a bare 500
            self.write_failure(cycle, error)
            return
        if not started:
            self.cycle = None
            self._as_uvicorn()
            super().on_body(cycle.body)
            super().on_message_complete()

    def _hot_exchange(self) -> HotExchange | None:
        """The exchange of a request that is answered here, or None."""
        if len(self.url) > _LONGEST_URL:
            return None
        path = self.url.partition(b"?")[0]
        for endpoint in self._hot:
            target = endpoint.target(path)
            if target is not None:
                break
        else:
            return None
        version = self.parser.get_http_version()
        if self.parser.get_method() != b"POST" or version not in VERSIONS:
            return None
        if self.headers != self._latest and not self._check_headers(dict(self.headers)):
            return None
        if (
            self.expect_100_continue
            or not (self.cycle is None or self.cycle.response_complete)
            or self.parser.should_upgrade()
        ):
            return None
        if self._open is not None:
            self._open.direct.inc()
        exchange = endpoint.exchange(self, target, resolve_request_id(self._id_header))
        exchange.keep_alive = self.parser.should_keep_alive()
        exchange.says_keep_alive = exchange.keep_alive and version == "1.0"
        return exchange

    def _check_headers(self, headers: dict[bytes, bytes]) -> bool:
        """Whether the headers are those of a plain JSON body; then they are kept, as the next are mostly the same."""
        length = headers.get(b"content-length", b"")
        fits = length.isdigit() and int(length[:20]) <= self._longest_body
        if (
            len(headers) < len(self.headers)
            or headers.get(b"content-type", b"").lower() not in _JSON
            or b"content-encoding" in headers
            or not (fits or headers.get(b"transfer-encoding", b"").lower() == b"chunked")
        ):
            return False
        self.check_head()
        # Headers without a Host may be those of HTTP/1.0, and are looked at each time.
        self._latest, self._id_header = self.headers if b"host" in headers else None, headers.get(HEADER, b"")
        return True

    def _as_uvicorn(self) -> None:
        """Hand the message over to uvicorn, as if it had parsed it from its beginning."""
        url, headers, expected = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expected
        self.headers.extend(headers)
        super().on_headers_complete()

    def write(self, exchange: HotExchange, status: int, body: bytes) -> None:
        """Write a JSON response."""
        defaults = self.server_state.default_headers
        if defaults is not self._defaults:  # uvicorn renews them each second
            self._defaults = defaults
            self._lines = header_lines(defaults)
        head = STATUS_LINE[status] + self._lines + _connection_line(exchange)
        self._end(exchange, _RESPONSE % (head, len(body), exchange.request_id.encode(), body))

    def write_failure(self, exchange: HotExchange, error: BaseException) -> None:
        """Write the response that the endpoint makes of an error."""
        response = exchange.failure(error)
        self._end(exchange, self.response_bytes(response, _connection_line(exchange)))

    def _end(self, exchange: HotExchange, response: bytes) -> None:
        exchange.response_complete = True
        transport = self.transport
        if exchange.disconnected or transport.is_closing():
            return
        transport.write(response)
        if not exchange.keep_alive:
            transport.close()
        self.on_response_complete()


def _connection_line(exchange: HotExchange) -> bytes:
    """What the client is told of the connection: nothing where it stays open, as HTTP/1.1 has it."""
    if not exchange.keep_alive:
        return CLOSE
    return _KEEP_ALIVE if exchange.says_keep_alive else b""
