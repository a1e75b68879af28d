"""Predictions as raw messages of HTTP/1.1, for both of the server's paths: below ASGI, and through it."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.services.http_messages import HttpResponse, ResponseReader
from tests.services.predict_server import PREDICT, ROW, Live
from tests.services.waiting import HANG_SECONDS

BODY = json.dumps({"rows": [ROW]}).encode()
DIRECT: dict[str, str] = {}
ASGI = {"X_Twice": "1\r\nX-Twice: 2"}
"""A header that comes twice sends a request through ASGI."""
BOTH = pytest.mark.parametrize("path", [DIRECT, ASGI], ids=["direct", "asgi"])


def message(
    body: bytes = BODY, *, target: str = PREDICT, method: str = "POST", version: str = "1.1", **headers: str
) -> bytes:
    """A request; headers are named with underscores, and one without a value is left out."""
    given = {"Host": "x", "Content-Type": "application/json", "Content-Length": str(len(body))}
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = "".join(f"{name}: {value}\r\n" for name, value in given.items() if value)
    return f"{method} {target} HTTP/{version}\r\n{lines}\r\n".encode() + body


@contextmanager
def connected(live: Live) -> Iterator[tuple[socket.socket, ResponseReader]]:
    """A connection, and what reads its responses."""
    url = live.client.base_url
    with socket.create_connection((url.host, url.port), timeout=HANG_SECONDS) as connection:
        yield connection, ResponseReader(connection)


def scored(response: HttpResponse) -> bool:
    return response.status == 200 and b'"scores"' in response.body
