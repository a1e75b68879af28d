"""A request that is answered below ASGI: the state that uvicorn keeps of a request and its response, and the sink of its
result.

Each endpoint has its own kind of exchange, which starts the work and gets its result as an asyncio.Future would.

Held by tests/server/api/test_hot_protocol.py.
"""

from __future__ import annotations

from time import perf_counter
from typing import Any, Protocol

from starlette.responses import Response


class ResponseWriter(Protocol):
    """Writes responses to a connection."""

    def write(self, exchange: HotExchange, status: int, body: bytes) -> None:
        """Write a JSON response."""

    def write_failure(self, exchange: HotExchange, error: BaseException) -> None:
        """Write the response that the exchange makes of an error."""


class HotEndpoint(Protocol):
    """An endpoint whose ordinary requests are answered below ASGI."""

    def target(self, path: bytes) -> Any:  # noqa: ANN401 - what `exchange` takes
        """The model or view that a POST to a path (undecoded) addresses; None where it has to take the ASGI route."""

    def exchange(self, writer: ResponseWriter, target: Any, request_id: str) -> HotExchange:  # noqa: ANN401 - of `target`
        """The exchange of a request to a target."""


class _NoBodyEvent:
    """In place of the event by which uvicorn wakes an application that awaits a request's body."""

    def set(self) -> None:
        pass


_NO_EVENT = _NoBodyEvent()


class HotExchange:
    """One request. `body` is complete when `begin` is called."""

    __slots__ = (
        "body",
        "disconnected",
        "keep_alive",
        "message_event",
        "more_body",
        "request_id",
        "response_complete",
        "says_keep_alive",
        "started",
        "writer",
    )

    def __init__(self, writer: ResponseWriter, request_id: str) -> None:
        self.writer, self.request_id = writer, request_id
        self.body, self.more_body, self.message_event = b"", True, _NO_EVENT
        self.keep_alive, self.says_keep_alive = True, False
        self.disconnected, self.response_complete = False, False
        self.started = perf_counter()

    def begin(self) -> bool:
        """Start answering; False where only the ASGI application can. `failure` makes the response of what it raises."""
        raise NotImplementedError

    def failure(self, error: BaseException) -> Response:
        """The response to a request that failed; it is counted."""
        raise NotImplementedError

    def done(self) -> bool:
        return self.response_complete

    def set_exception(self, error: BaseException) -> None:
        self.writer.write_failure(self, error)
