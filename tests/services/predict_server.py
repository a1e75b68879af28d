"""A real server for tests: uvicorn on the loopback, in a thread, with a clock that the test sets."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from skewless.server.api.server import uvicorn_config
from skewless.server.app import create_app
from skewless.server.settings import ServerSettings
from tests.models import tiny
from tests.services.waiting import HANG_SECONDS, until

PREDICT = f"/v1/models/{tiny.NAME}/predict"
ROW = {"origin": "JFK", "tailnum": "N1", "hour": 8}


@dataclass
class Clock:
    """Stands still at `now`, in microseconds."""

    now: int = tiny.NOON

    def __call__(self) -> int:
        return self.now


@dataclass
class Live:
    """A running server and a client of it."""

    settings: ServerSettings
    client: httpx.Client
    server: uvicorn.Server
    clock: Clock = field(default_factory=Clock)
    before: dict[str, float] = field(default_factory=dict)

    def predict(self, *rows: dict[str, Any], **members: Any) -> httpx.Response:
        return self.client.post(PREDICT, json={"rows": list(rows), **members})

    def score(self, *rows: dict[str, Any], **members: Any) -> dict[str, Any]:
        answer = self.predict(*rows, **members)
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    def explain(self, row: dict[str, Any], **members: Any) -> dict[str, Any]:
        (features,) = self.score(row, explain="features", **members)["features"]
        return features

    def metric(self, sample: str) -> float:
        """The value of a sample, of counters since the start; 0 where it is not there."""
        counts = "_total" in sample or "_count" in sample
        counted = self.before.get(sample, 0.0) if counts else 0.0
        return self.samples().get(sample, 0.0) - counted

    def samples(self) -> dict[str, float]:
        lines = [line for line in self.client.get("/metrics").text.splitlines() if not line.startswith("#")]
        return {sample: float(value) for sample, _, value in (line.rpartition(" ") for line in lines)}


def settings_of(folder: Path, redis_url: str, **given: Any) -> ServerSettings:
    """Short intervals, and timeouts that a busy machine does not reach."""
    quick = {"models_refresh_s": 0.05, "served_log_flush_s": 0.05, "log_level": "error"}
    quick |= {"redis_timeout_s": 30.0, "push_timeout_s": 30.0}
    return ServerSettings(state=folder, redis_url=redis_url, **{**quick, **given})


@contextmanager
def serving(settings: ServerSettings) -> Iterator[Live]:
    """A server for the length of a block; it stops gracefully."""
    clock = Clock()
    app = create_app(settings, clock)
    server = uvicorn.Server(uvicorn_config(app))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            until(lambda: server.started or not thread.is_alive())
            with httpx.Client(base_url=url, timeout=HANG_SECONDS) as client:
                live = Live(settings, client, server, clock)
                # An imported Feast makes prometheus-client keep counters by process, across servers.
                live.before.update(live.samples())
                yield live
        finally:
            server.should_exit = True
            thread.join(HANG_SECONDS)
            assert not thread.is_alive()
