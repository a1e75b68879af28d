"""The hot route below ASGI: uvicorn's protocol, which answers plain predictions by itself.

A scope, a task, an event and a dozen messages a request cost uvicorn more than the prediction costs us. What is usual
(a POST of JSON of a known length to a model that is ready, on a connection that stays) goes straight from the parser to
the burst and from there to the socket. Everything else, and whatever asks for more than scores, is uvicorn's and the
ASGI application's, whose `PredictEndpoint` says what the answer is.
"""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from serving.api.predict import PredictEndpoint, answer_body
from serving.api.request_ids import HEADER, request_id
from serving.bursts import Answer
from serving.route import Route

_JSON = b"application/json"
_OK = b"%bcontent-length: %d\r\ncontent-type: application/json\r\nx-request-id: %b\r\n\r\n%b"


class _NoEvent:
    """Stands where uvicorn wakes who waits for a request's body."""

    def set(self) -> None:
        pass


_NO_EVENT = _NoEvent()


class Exchange:
    """A request that is answered here: what uvicorn keeps of a request and its response, and what a burst tells."""

    __slots__ = (
        "body",
        "disconnected",
        "keep_alive",
        "message_event",
        "more_body",
        "protocol",
        "request_id",
        "response_complete",
        "route",
        "started",
        "who",
    )

    def __init__(self, protocol: PredictProtocol, route: Route, asked_by: str) -> None:
        self.protocol, self.route, self.request_id = protocol, route, asked_by
        self.who = route.champion
        self.body, self.more_body, self.message_event = b"", True, _NO_EVENT
        self.keep_alive, self.disconnected, self.response_complete = True, False, False
        self.started = perf_counter()

    def done(self) -> bool:
        return self.response_complete

    def set_result(self, answer: Answer) -> None:
        self.protocol.tell(self, answer_body(self.who, self.request_id, answer))

    def set_exception(self, error: BaseException) -> None:
        self.protocol.tell_failure(self, error)


class PredictProtocol(HttpToolsProtocol):
    """uvicorn's, but for predictions. `cycle` is uvicorn's own or an Exchange."""

    cycle: Any

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._endpoint: PredictEndpoint | None = getattr(self.app, "hot", None)
        self._defaults: list[tuple[bytes, bytes]] = []
        self._head = b""
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
        if type(cycle) is Exchange:
            cycle.body += body
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        cycle = self.cycle
        if type(cycle) is not Exchange:
            super().on_message_complete()
            return
        try:
            ask = cycle.route.champion.predictor.reader.read(cycle.body)
        except Exception as error:  # noqa: BLE001 - told as what it is: ours, or a bare 500
            self.tell_failure(cycle, error)
            return
        if ask.explain or ask.as_of is not None:
            self.cycle = None
            self._as_uvicorn()
            super().on_body(cycle.body)
            super().on_message_complete()
            return
        cycle.who = cycle.route.begin(cycle, cycle.request_id, ask, cycle.started)

    def _usual(self) -> Exchange | None:
        """The exchange of a request that is answered here."""
        endpoint = self._endpoint
        route = endpoint.route_at(self.url) if endpoint is not None else None
        if route is None or endpoint is None or self.parser.get_method() != b"POST":
            return None
        if self.headers != self._latest and not self._are_usual(dict(self.headers), endpoint.longest_body):
            return None
        if (
            self.expect_100_continue
            or not (self.cycle is None or self.cycle.response_complete)
            or not self.parser.should_keep_alive()
            or self.parser.should_upgrade()
        ):
            return None
        return Exchange(self, route, request_id(self._asked_by))

    def _are_usual(self, headers: dict[bytes, bytes], longest_body: int) -> bool:
        """Whether these headers are of a plain JSON body; then they are kept, since the next are mostly the same."""
        length = headers.get(b"content-length", b"")
        if (
            len(headers) < len(self.headers)
            or headers.get(b"content-type") != _JSON
            or b"content-encoding" in headers
            or not (length.isdigit() and int(length[:20]) <= longest_body)
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

    def tell(self, exchange: Exchange, body: bytes) -> None:
        """Answer with scores."""
        defaults = self.server_state.default_headers
        if defaults is not self._defaults:  # uvicorn makes them anew each second
            self._defaults = defaults
            self._head = STATUS_LINE[200] + _lines(defaults)
        head = self._head if exchange.keep_alive else self._head + b"connection: close\r\n"
        self._end(exchange, _OK % (head, len(body), exchange.request_id.encode(), body))

    def tell_failure(self, exchange: Exchange, error: BaseException) -> None:
        """Answer with what went wrong, as the endpoint tells it."""
        if self._endpoint is None:
            raise error
        name = exchange.route.address
        response = self._endpoint.failure(name, exchange.request_id, error, exchange.started)
        lines = _lines([*self.server_state.default_headers, *response.raw_headers])
        if not exchange.keep_alive:
            lines += b"connection: close\r\n"
        self._end(exchange, b"%b%b\r\n%b" % (STATUS_LINE[response.status_code], lines, bytes(response.body)))

    def _end(self, exchange: Exchange, told: bytes) -> None:
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
