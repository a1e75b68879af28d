"""Reads the bytes of a JSON body within a limit."""

from __future__ import annotations

from starlette.requests import Request

from serving.errors import BodyTooLarge, UnsupportedBody

_JSON = "application/json"
_CHARSETS = ("utf-8", "utf8")


async def read_body(request: Request, limit: int) -> bytes:
    """The whole body, at most `limit` bytes; reading stops at the limit, whatever the headers say.

    What a client still sends after that uvicorn throws away: closing under it would take the answer from it.

    Raises:
        UnsupportedBody: it does not announce plain JSON.
        BodyTooLarge: it is longer.
    """
    _check_type(request)
    announced = request.headers.get("content-length", "")
    if announced.isascii() and announced.isdigit() and int(announced[:20]) > limit:
        raise BodyTooLarge(limit)
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise BodyTooLarge(limit)
        chunks.append(chunk)
    return b"".join(chunks)


def _check_type(request: Request) -> None:
    media, *parameters = (part.strip().lower() for part in request.headers.get("content-type", "").split(";"))
    if media != _JSON:
        raise UnsupportedBody("Content-Type", f"{media or 'nothing'} is not {_JSON}")
    charsets = [part.removeprefix("charset=").strip('"') for part in parameters if part.startswith("charset=")]
    if any(charset not in _CHARSETS for charset in charsets):
        raise UnsupportedBody("Content-Type", f"charset {charsets[0]} is not UTF-8")
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding != "identity":
        raise UnsupportedBody("Content-Encoding", f"{encoding} is not understood")
