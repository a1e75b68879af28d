"""What RFC 9110 says of every request, whatever the resource: HEAD is GET without a body, and who waits for `100 Continue`
and gets an answer instead may or may not send the body, so that the connection cannot go on.

Held by tests/server/api/test_http_messages.py.
"""

from __future__ import annotations

from starlette.types import Message, Receive, Scope, Send


def as_resource(scope: Scope, receive: Receive, send: Send) -> tuple[Scope, Receive, Send]:
    """The same request as resources see it."""
    if scope["method"] == "HEAD":
        # uvicorn knows that the body is not to be sent.
        scope = {**scope, "method": "GET"}
    if any(name == b"expect" and value.lower() == b"100-continue" for name, value in scope["headers"]):
        return scope, *_closing_unless_read(receive, send)
    return scope, receive, send


def _closing_unless_read(receive: Receive, send: Send) -> tuple[Receive, Send]:
    continued = False

    async def read() -> Message:
        nonlocal continued
        continued = True
        return await receive()

    async def answer(message: Message) -> None:
        if message["type"] == "http.response.start" and not continued:
            message["headers"] = [*message.get("headers", ()), (b"connection", b"close")]
        await send(message)

    return read, answer
