"""`X-Request-ID`: the caller's id is used where it is valid, else a new one is made; every response carries it.

Held by tests/server/api/test_predict.py.
"""

from __future__ import annotations

import itertools
import os
import re

from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADER = b"x-request-id"
# A system call for each would cost 3 us.
_PROCESS, _COUNT = os.urandom(8).hex(), itertools.count(int.from_bytes(os.urandom(4)))
_VALID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")


def resolve_request_id(header: bytes) -> str:
    """The caller's id if it is valid, else a new one of 32 hexadecimal digits."""
    return header.decode() if header and _VALID.fullmatch(header) else f"{_PROCESS}{next(_COUNT):016x}"


class RequestIdMiddleware:
    """Sets `scope["request_id"]` and the response's header."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope["request_id"] = resolve_request_id(
            next((value for name, value in scope["headers"] if name == HEADER), b"")
        )
        tag = (HEADER, scope["request_id"].encode())

        async def tagged(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), tag]
            await send(message)

        await self._app(scope, receive, tagged)
