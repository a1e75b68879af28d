"""Definitions change under a champion that answers a stream of requests: none fails, and each value is the join's under the
definitions that the answering version was trained on.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from skewless.project import apply
from skewless.project.retained_definitions import sweep
from tests.project.changing_project import HOUR, MODEL, NOON, ROWS, ChangingProject, definitions, singles
from tests.services.predict_server import Live, serving, settings_of
from tests.services.waiting import until

pytestmark = [
    pytest.mark.filterwarnings("ignore::RuntimeWarning:feast", "ignore::DeprecationWarning"),
    pytest.mark.timeout(1800),
]
CHANGES = {
    "a feature more": definitions(fields={"amount": "Float64", "visits": "Int64", "discount": "Float64"}),
    "another ttl": definitions(ttl=1),
    "another key": definitions(entity="shop"),
    "retyped": definitions(fields={"amount": "Float32", "visits": "Int64"}),
    "renamed": definitions(fields={"total": "Float64", "visits": "Int64"}, mapping={"amount": "total"}),
    "removed": definitions("purchases"),
}
PUSHES = {
    "renamed": [("spend", {"customer": 1, "total": 99.0})],
    "removed": [("purchases", {"customer": 2, "amount": 98.0}), ("spend", {"customer": 3, "amount": 97.0})],
}
"""Rows that are pushed after a change, in the form of the view that they are pushed to."""


@dataclass
class RequestStream:
    """What a client gets who asks the same all the time: status, version and scores of each answer."""

    live: Live
    answers: list[tuple[int, Any, Any]] = field(default_factory=list)
    _done: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        while not self._done.wait(0.02):
            answer = self.live.client.post(f"/v1/models/{MODEL}/predict", json={"rows": ROWS})
            body = answer.json()
            self.answers.append((answer.status_code, body.get("version"), body.get("scores")))

    def stop(self) -> None:
        self._done.set()

    def next(self, count: int = 5) -> list[tuple[int, Any, Any]]:
        """The next answers to requests that are sent from now on."""
        begin = len(self.answers) + 1  # one may be on its way
        until(lambda: len(self.answers) >= begin + count)
        return self.answers[begin : begin + count]


@contextmanager
def streaming(live: Live) -> Iterator[RequestStream]:
    stream = RequestStream(live)
    thread = threading.Thread(target=stream.run)
    thread.start()
    try:
        yield stream
    finally:
        stream.stop()
        thread.join()


@pytest.fixture
def project(tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> ChangingProject:
    monkeypatch.setenv("SKEWLESS_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("SKEWLESS_FEATURE_REPO", str(tmp_path / "feature_repo"))
    monkeypatch.setenv("SKEWLESS_REDIS_URL", redis_url)
    shop = ChangingProject(tmp_path)
    shop.write(NOON - 5 * HOUR, "part-0", [10.0, 20.0, 30.0])
    shop.apply(definitions())
    shop.materialize(NOON)
    shop.publish("1.0.0")
    return shop


def right(project: ChangingProject, version: str) -> tuple[int, str, Sequence[float]]:
    return 200, version, singles(project.expected(version, NOON))


def test_a_champion_answers_through_every_change_of_its_definitions(project: ChangingProject, redis_url: str):
    settings = settings_of(project.root / "state", redis_url, push_project="shop")
    with serving(settings) as live:
        until(lambda: live.client.get("/readyz").status_code == 200)
        with streaming(live) as stream:
            known = [right(project, "1.0.0")]
            assert seen(stream) == {str(known[-1])}
            for name, text in CHANGES.items():
                project.apply(text)
                project.materialize(NOON)
                assert seen(stream) == {str(known[-1])}, name
                for view, row in PUSHES.get(name, ()):
                    push(live, view, row)
                    known.append(right(project, "1.0.0"))
                    assert known[-1] != known[-2], "the join sees the row"
                    until(lambda: stream.answers[-1] == known[-1])
            with pytest.raises(apply.ApplyRefused, match="feature view spend would go back"):
                project.apply(CHANGES["another ttl"])
            assert project.stored_names() == {"spend", "purchases"}
            for version in ("2.0.0", "3.0.0"):
                project.publish(version)
                known.append(right(project, version))
                until(lambda: stream.answers[-1] == known[-1])
            assert sweep(project.work, NOON)["spend"] == 3
            assert seen(stream) == {str(known[-1])}
    assert {status for status, _, _ in stream.answers} == {200}
    assert set(map(str, stream.answers)) == set(map(str, known)), "every value was right at every instant"


def seen(stream: RequestStream) -> set[str]:
    """The answers to the next requests."""
    return set(map(str, stream.next()))


def push(live: Live, view: str, row: dict[str, Any]) -> None:
    """Over HTTP; the row is true and known now."""
    rows = [row | {"visits": 7, "event_timestamp": NOON.isoformat()}]
    answer = live.client.post(f"/v1/feature-views/{view}/push", json={"rows": rows})
    assert (answer.status_code, answer.json()["view"]) == (200, view), answer.text
