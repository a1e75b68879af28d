"""What the routes that are answered in front of FastAPI have in common: an address, headers, and how they fail.

Held by tests/server/api/test_hot_protocol.py.
"""

from __future__ import annotations

import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from skewless.contract.errors import SkewlessError
from skewless.server.api import problems
from skewless.server.api.request_ids import HEADER

_log = structlog.get_logger(__name__)


class HotRoute:
    """POST to `before`, a name without slashes, `after`."""

    def __init__(self, before: str, after: str) -> None:
        self._before, self._after = before, after
        self._sent = before.encode(), after.encode()

    def matches(self, scope: Scope) -> bool:
        if scope["type"] != "http" or scope["method"] != "POST":
            return False
        path: str = scope["path"]
        return path.endswith(self._after) and path.startswith(self._before) and path.count("/") == 4

    def name(self, path: str) -> str:
        """The name in a path that matches."""
        return path[len(self._before) : -len(self._after)]

    def name_sent(self, path: bytes) -> str | None:
        """The name in a path as it was sent; None where it is not ours."""
        before, after = self._sent
        if not (path.endswith(after) and path.startswith(before)):
            return None
        return path[len(before) : -len(after)].decode("latin-1")

    def path(self, name: str) -> str:
        return f"{self._before}{name}{self._after}"

    def failure(self, name: str, asked_by: str, error: BaseException) -> Response:
        """What to answer where a request failed; what nobody foresaw is logged."""
        path = self.path(name)
        request = Request({"type": "http", "path": path, "headers": [], "request_id": asked_by})
        if isinstance(error, SkewlessError):
            response = problems.response(request, error)
        else:
            _log.error("request_failed", path=path, request_id=asked_by, exc_info=error)
            response = problems.fault(request)
        response.raw_headers.append((HEADER, asked_by.encode()))
        return response


def first_headers(scope: Scope) -> dict[bytes, bytes]:
    """The headers by name, of those that come twice the first."""
    headers: dict[bytes, bytes] = {}
    for key, value in scope["headers"]:
        headers.setdefault(key, value)
    return headers
