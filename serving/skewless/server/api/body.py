"""Reads the bytes of a JSON body within a limit.

Held by tests/server/api/test_predict.py.
"""

from __future__ import annotations

from collections.abc import Mapping

from starlette.requests import ClientDisconnect
from starlette.types import Receive

from skewless.server.errors import BodyTooLarge, UnsupportedBody

_JSON = "application/json"
_PLAIN = b"application/json"
_CHARSETS = ("utf-8", "utf8")


async def read_body(headers: Mapping[bytes, bytes], receive: Receive, limit: int) -> bytes:
    """The whole body, at most `limit` bytes; reading stops at the limit, whatever the headers say.

    uvicorn discards what a client still sends after that: closing the connection would lose the response.

    Raises:
        UnsupportedBody: the headers do not announce plain JSON.
        BodyTooLarge: the body is longer.
        ClientDisconnect: the client closed the connection.
    """
    if headers.get(b"content-type") != _PLAIN or b"content-encoding" in headers:
        _check_type(headers)
    announced = headers.get(b"content-length", b"")
    if announced.isdigit() and int(announced[:20]) > limit:
        raise BodyTooLarge(limit)
    chunks, size, more = [], 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            raise BodyTooLarge(limit)
        chunks.append(chunk)
        more = message.get("more_body", False)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _check_type(headers: Mapping[bytes, bytes]) -> None:
    content_type = headers.get(b"content-type", b"").decode("latin-1")
    media, *parameters = (part.strip().lower() for part in content_type.split(";"))
    if media != _JSON:
        raise UnsupportedBody("Content-Type", f"{media or 'nothing'} is not {_JSON}")
    charsets = [part.removeprefix("charset=").strip('"') for part in parameters if part.startswith("charset=")]
    if any(charset not in _CHARSETS for charset in charsets):
        raise UnsupportedBody("Content-Type", f"charset {charsets[0]} is not UTF-8")
    encoding = headers.get(b"content-encoding", b"identity").decode("latin-1").strip().lower()
    if encoding != "identity":
        raise UnsupportedBody("Content-Encoding", f"{encoding} is not understood")
