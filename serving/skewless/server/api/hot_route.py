"""The path, headers and error responses of a route that is answered in front of FastAPI.

Held by tests/server/api/test_hot_protocol.py.
"""

from __future__ import annotations

from starlette.responses import Response
from starlette.types import Scope

from skewless.server.api import problems


class HotRoute:
    """POST to the path `before` + a name without slashes + `after`."""

    def __init__(self, before: str, after: str) -> None:
        self._before, self._after = before, after
        self._encoded = before.encode(), after.encode()

    def matches(self, scope: Scope) -> bool:
        if scope["type"] != "http" or scope["method"] != "POST":
            return False
        path: str = scope["path"]
        return path.endswith(self._after) and path.startswith(self._before) and path.count("/") == 4

    def name(self, path: str) -> str:
        """The name in a path of this route."""
        return path[len(self._before) : -len(self._after)]

    def encoded_name(self, path: bytes) -> str | None:
        """The name in an undecoded path; None where the path is not of this route."""
        before, after = self._encoded
        if not (path.endswith(after) and path.startswith(before)):
            return None
        return path[len(before) : -len(after)].decode("latin-1")

    def path(self, name: str) -> str:
        return f"{self._before}{name}{self._after}"

    def failure(self, name: str, request_id: str, error: BaseException) -> Response:
        """The response to a request that failed; an error that is not ours is logged."""
        return problems.below_asgi(self.path(name), request_id, error)


def first_headers(scope: Scope) -> dict[bytes, bytes]:
    """The headers by name; of a repeated header the first."""
    headers: dict[bytes, bytes] = {}
    for key, value in scope["headers"]:
        headers.setdefault(key, value)
    return headers
