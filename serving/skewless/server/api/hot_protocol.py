"""The hot routes below ASGI: uvicorn's protocol, which answers plain predictions and pushes by itself.

A scope, a task, an event and a dozen messages a request cost uvicorn more than the answer costs us. What is usual (a
POST of JSON of a known length to a model or view that is ready, on a connection that stays) goes straight from the
parser to the burst or the commit, and from there to the socket. Everything else, and whatever asks for more, is
uvicorn's and the ASGI application's, whose endpoints say what the answer is.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from skewless.server.api.hot_exchange import HotEndpoint, HotExchange
from skewless.server.api.request_ids import HEADER, request_id

_JSON = b"application/json"
_TOLD = b"%bcontent-length: %d\r\ncontent-type: application/json\r\nx-request-id: %b\r\n\r\n%b"


class HotProtocol(HttpToolsProtocol):
    """uvicorn's, but for the application's `hot` endpoints. `cycle` is uvicorn's own or an Exchange."""

    cycle: Any

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
        self._asked_by = b""

    def on_message_begin(self) -> None:
        """Leave the scope to those who need one."""
        self.url = b""
        self.headers = []
        self.expect_100_continue = False

    def on_headers_complete(self) -> None:
        found = self._usual()
        if found is None:
            self._as_uvicorn()
        else:
            self.cycle = found

    def on_body(self, body: bytes) -> None:
        cycle = self.cycle
        if isinstance(cycle, HotExchange):
            cycle.body += body
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        cycle = self.cycle
        if not isinstance(cycle, HotExchange):
            super().on_message_complete()
            return
        try:
            begun = cycle.begin()
        except Exception as error:  # noqa: BLE001 - told as what it is: ours, or a bare 500
            self.tell_failure(cycle, error)
            return
        if not begun:
            self.cycle = None
            self._as_uvicorn()
            super().on_body(cycle.body)
            super().on_message_complete()

    def _usual(self) -> HotExchange | None:
        """The exchange of a request that is answered here."""
        for endpoint in self._hot:
            who = endpoint.at(self.url)
            if who is not None:
                break
        else:
            return None
        if self.parser.get_method() != b"POST":
            return None
        if self.headers != self._latest and not self._are_usual(dict(self.headers)):
            return None
        if (
            self.expect_100_continue
            or not (self.cycle is None or self.cycle.response_complete)
            or not self.parser.should_keep_alive()
            or self.parser.should_upgrade()
        ):
            return None
        return endpoint.exchange(self, who, request_id(self._asked_by))

    def _are_usual(self, headers: dict[bytes, bytes]) -> bool:
        """Whether these headers are of a plain JSON body; then they are kept, since the next are mostly the same."""
        length = headers.get(b"content-length", b"")
        if (
            len(headers) < len(self.headers)
            or headers.get(b"content-type") != _JSON
            or b"content-encoding" in headers
            or not (length.isdigit() and int(length[:20]) <= self._longest_body)
        ):
            return False
        self._latest, self._asked_by = self.headers, headers.get(HEADER, b"")
        return True

    def _as_uvicorn(self) -> None:
        """Go on as if uvicorn had seen the message from its beginning."""
        url, headers, expected = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expected
        self.headers.extend(headers)
        super().on_headers_complete()

    def tell(self, exchange: HotExchange, status: int, body: bytes) -> None:
        """Answer with JSON."""
        defaults = self.server_state.default_headers
        if defaults is not self._defaults:  # uvicorn makes them anew each second
            self._defaults = defaults
            self._lines = _lines(defaults)
        lines = self._lines if exchange.keep_alive else self._lines + b"connection: close\r\n"
        head = STATUS_LINE[status] + lines
        self._end(exchange, _TOLD % (head, len(body), exchange.request_id.encode(), body))

    def tell_failure(self, exchange: HotExchange, error: BaseException) -> None:
        """Answer with what went wrong, as the endpoint tells it."""
        response = exchange.failure(error)
        lines = _lines([*self.server_state.default_headers, *response.raw_headers])
        if not exchange.keep_alive:
            lines += b"connection: close\r\n"
        self._end(exchange, b"%b%b\r\n%b" % (STATUS_LINE[response.status_code], lines, bytes(response.body)))

    def _end(self, exchange: HotExchange, told: bytes) -> None:
        exchange.response_complete = True
        transport = self.transport
        if exchange.disconnected or transport.is_closing():
            return
        transport.write(told)
        if not exchange.keep_alive:
            transport.close()
        self.on_response_complete()


def _lines(headers: list[tuple[bytes, bytes]]) -> bytes:
    return b"".join(b"%b: %b\r\n" % header for header in headers)
