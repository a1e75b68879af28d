"""The floors: what an answer costs that does nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI

_START = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]}
_BODY = {"type": "http.response.body", "body": b"{}"}


async def bare(scope: dict[str, Any], receive: Callable[[], Any], send: Callable[[Any], Awaitable[None]]) -> None:
    """An ASGI application that answers `{}` to every request."""
    if scope["type"] != "http":
        return
    await send(_START)
    await send(_BODY)


fastapi = FastAPI()


@fastapi.post("/predict")
@fastapi.get("/readyz")
async def empty() -> dict[str, str]:
    return {}
