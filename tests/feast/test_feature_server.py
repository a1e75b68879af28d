"""Feast's own servers, really started over our stores: `feast serve` and `feast ui`."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from feast.errors import FeastError

from skewless.feast.errors import FutureRows
from skewless.online.store.valkey_process import free_port
from tests.feast.online_features import ask, write_tables
from tests.oracles import entity_key
from tests.services.waiting import until
from tests.tables.scratch_project import FEAST, HOUR, NOW, ScratchProject

pytestmark = [
    pytest.mark.filterwarnings("ignore::RuntimeWarning:feast", "ignore::DeprecationWarning"),
    pytest.mark.timeout(900),
]


@dataclass
class Server:
    client: httpx.Client
    process: subprocess.Popen[bytes]
    log: Path

    def answers(self, path: str) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        try:
            return self.client.get(path).status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    def features(self, features: list[str], **entities: list[object]) -> dict[str, list[tuple[object, str]]]:
        asked = {"features": features, "entities": entities}
        answer = self.client.post("/get-online-features", json=asked)
        assert answer.status_code == httpx.codes.OK, answer.text
        told = answer.json()
        return {
            name: list(zip(vector["values"], vector["statuses"], strict=True))
            for name, vector in zip(told["metadata"]["feature_names"], told["results"], strict=True)
        }


def started(project: ScratchProject, *words: str) -> Server:
    port = free_port()
    log = project.state / f"{words[0]}.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [str(FEAST), "-c", str(project.repo), *words, "--port", str(port)],
            env=os.environ | project.environment | {"PYTHONWARNINGS": "ignore", "PYTHONFAULTHANDLER": "1"},
            cwd="/",
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    return Server(httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120), process, log)


@pytest.fixture
def servers(project: ScratchProject) -> Iterator[tuple[Server, Server]]:
    """Both, started together since each takes seconds."""
    both = (started(project, "serve", "--no-access-log"), started(project, "ui", "--host", "127.0.0.1"))
    try:
        yield both
    finally:
        for server in both:
            server.client.close()
            server.process.terminate()
        for server in both:
            try:
                server.process.wait(20)
            except subprocess.TimeoutExpired:
                server.process.kill()
                server.process.wait()
            print(server.log.read_text())  # shown where the test fails


def test_feasts_own_servers(servers, project, redis):
    serve, ui = servers
    write_tables(project)
    store = project.store()
    store.materialize(NOW - timedelta(days=30), NOW)
    until(lambda: serve.answers("/health"))

    refs = ["flown:hours", "flown:cycles", "told:fuel", "city:mean"]
    tails = ["N1", "N2", "N3", "N5", "?"]
    over_http = serve.features(refs, tailnum=tails)
    assert over_http == ask(store, refs, tailnum=tails) | {"tailnum": [(tail, "PRESENT") for tail in tails]}
    stale, nothing = (None, "OUTSIDE_MAX_AGE"), (None, "NOT_FOUND")
    assert over_http["hours"] == [(2, "PRESENT"), stale, nothing, (None, "NULL_VALUE"), nothing]

    row = {"tailnum": ["N7", "?"], "fuel": [7.5, 8.5], "gate": [1, 2]}
    when = [(NOW - HOUR).isoformat()] * 2
    pushed = {"push_source_name": "tell", "df": row | {"event_timestamp": when, "created_timestamp": when}}
    assert serve.client.post("/push", json=pushed | {"to": "online"}).status_code == httpx.codes.OK
    assert serve.features(["told:fuel"], tailnum=["N7", "?"])["fuel"] == [(7.5, "PRESENT"), (8.5, "PRESENT")]
    written = {"feature_view_name": "told", "df": pushed["df"] | {"tailnum": ["N8", "N9"]}}
    assert serve.client.post("/write-to-online-store", json=written).status_code == httpx.codes.OK
    assert serve.features(["told:gate"], tailnum=["N9"])["gate"] == [(2, "PRESENT")]

    ahead = pushed["df"] | {"event_timestamp": [(NOW + HOUR).replace(tzinfo=None).isoformat()] * 2}
    # Feast's server ends the connection after an error, and does not say so in its answer.
    ended = {"Connection": "close"}
    refused = serve.client.post("/push", json=pushed | {"df": ahead, "to": "online"}, headers=ended)
    assert refused.status_code == httpx.codes.UNPROCESSABLE_ENTITY
    error = FeastError.from_error_detail(refused.json())
    assert isinstance(error, FutureRows)
    assert "times without a zone are UTC" in str(error)

    redis.hset(entity_key("scratch", {"tailnum": ("String", "N8")}), "told", b"cut")
    assert serve.features(["told:fuel"], tailnum=["N7", "N8"])["fuel"] == [(7.5, "PRESENT"), (None, "INVALID")]

    until(lambda: ui.answers("/"))
    listed = ui.client.get("/api/v1/feature_views", params={"project": "scratch"})
    assert "flown" in {view["spec"]["name"] for view in listed.json()["featureViews"]}
