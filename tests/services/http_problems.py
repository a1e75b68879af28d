"""What every problem response of the server has."""

from __future__ import annotations

import httpx


def assert_problem(answer: httpx.Response, status: int, kind: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    body = answer.json()
    assert body["type"] == f"urn:skewless:problem:{kind}"
    assert body["status"] == status
    assert body["instance"].startswith("/v1/models/")
    assert body["request_id"] == answer.headers["X-Request-ID"]
    assert body["title"]
    assert body["detail"]
