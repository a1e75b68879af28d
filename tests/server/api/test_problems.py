from __future__ import annotations

from collections.abc import Iterator
from inspect import isabstract

import pytest

from skewless.contract.errors import SkewlessError
from skewless.server import errors
from skewless.server.api import problems
from tests.services.predict_server import PREDICT, ROW, Live


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/v1/models/", 404),
        ("GET", "/v1/models/a%2Fb", 404),
        ("GET", PREDICT, 405),
        ("DELETE", "/v1/models", 405),
        ("PATCH", "/healthz", 405),
    ],
)
def test_what_the_framework_finds_is_a_problem_too(live: Live, method: str, path: str, status: int):
    answer = live.client.request(method, path)
    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["status"] == status
    assert ("Allow" in answer.headers) == (status == 405)


def test_a_fault_of_ours_shows_nothing(live: Live, monkeypatch: pytest.MonkeyPatch):
    def fail(*_):
        raise RuntimeError("hidden")

    monkeypatch.setattr("skewless.server.predict.predictor.Predictor.predict", fail)
    answer = live.predict(ROW)
    assert answer.status_code == 500
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert "hidden" not in answer.text
    assert answer.json()["request_id"] == answer.headers["X-Request-ID"]
    assert live.metric('skewless_requests_total{model="tiny",status="500"}') == 1


def test_each_error_of_the_server_has_a_status():
    inner = {errors.InvalidBody, errors.BadMessage}
    listed = set(problems.STATUSES)
    assert {error for error in _tree(SkewlessError) if error.__module__ == errors.__name__} - inner <= listed


def _tree(kind: type[SkewlessError]) -> Iterator[type[SkewlessError]]:
    for child in kind.__subclasses__():
        if not isabstract(child):
            yield child
        yield from _tree(child)
