"""A request that is answered below ASGI: what uvicorn keeps of a request and its response, and where its answer goes.

An endpoint has its own kind of exchange, which begins the work and is told what came of it, as an asyncio.Future is.

Held by tests/server/api/test_hot_protocol.py.
"""

from __future__ import annotations

from time import perf_counter
from typing import Any, Protocol

from starlette.responses import Response


class ResponseWriter(Protocol):
    """Who writes answers to a connection."""

    def tell(self, exchange: HotExchange, status: int, body: bytes) -> None:
        """Answer with JSON."""

    def tell_failure(self, exchange: HotExchange, error: BaseException) -> None:
        """Answer with what the exchange says of its failure."""


class HotEndpoint(Protocol):
    """An endpoint whose usual requests are answered below ASGI."""

    def at(self, path: bytes) -> Any:  # noqa: ANN401 - what `exchange` takes
        """Who answers a POST to a path as it was sent; None where there is nobody, or not now."""

    def exchange(self, speaker: ResponseWriter, who: Any, request_id: str) -> HotExchange:  # noqa: ANN401 - what `at` found
        """A request to somebody whom `at` found."""


class _NoBodyEvent:
    """Stands where uvicorn wakes who waits for a request's body."""

    def set(self) -> None:
        pass


_NO_EVENT = _NoBodyEvent()


class HotExchange:
    """One request. `body` is whole when `begin` is called."""

    __slots__ = (
        "body",
        "disconnected",
        "keep_alive",
        "message_event",
        "more_body",
        "request_id",
        "response_complete",
        "speaker",
        "started",
    )

    def __init__(self, speaker: ResponseWriter, request_id: str) -> None:
        self.speaker, self.request_id = speaker, request_id
        self.body, self.more_body, self.message_event = b"", True, _NO_EVENT
        self.keep_alive, self.disconnected, self.response_complete = True, False, False
        self.started = perf_counter()

    def begin(self) -> bool:
        """Begin to answer; False where the request asks for what only the ASGI application does. What it raises is told
        as `failure` says.
        """
        raise NotImplementedError

    def failure(self, error: BaseException) -> Response:
        """What to answer, which is counted, where the request failed."""
        raise NotImplementedError

    def done(self) -> bool:
        return self.response_complete

    def set_exception(self, error: BaseException) -> None:
        self.speaker.tell_failure(self, error)
