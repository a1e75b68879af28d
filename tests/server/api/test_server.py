"""`skewless serve` as a process of its own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from redis import Redis

from tests.checkout import ROOT
from tests.services.http_messages import ResponseReader, bytes_unread_by_server
from tests.services.predict_server import PREDICT, ROW
from tests.services.serve_process import SKEWLESS, served
from tests.services.served_log_rows import logged
from tests.services.waiting import HANG_SECONDS, until


def test_it_answers_and_a_stop_writes_the_log(state: Path, stored: str):
    with served(state, stored) as (_, client):
        answer = client.post(PREDICT, json={"rows": [ROW] * 3})
        assert answer.status_code == 200
        refused = client.post(PREDICT, json={"rows": [ROW], "as_of": "2013-10-01T12:00:00Z"})
        assert refused.status_code == 403
        assert refused.json()["type"] == "urn:skewless:problem:as-of-not-allowed"
        assert logged(state / "served") == []
    assert len(logged(state / "served")) == 3


def test_its_log_begins_with_its_address(state: Path, stored: str):
    with served(state, stored) as (_, client):
        first = json.loads((state / "stderr").read_text().splitlines()[0])
    assert first["event"] == "listening"
    assert first["url"] == str(client.base_url).rstrip("/")
    assert "no model is published" not in (state / "stderr").read_text()


def test_a_server_without_models_says_so(tmp_path: Path, redis_url: str):
    def warnings() -> list[dict[str, str]]:
        lines = map(json.loads, (tmp_path / "stderr").read_text().splitlines())
        return [line for line in lines if line["level"] == "warning"]

    with served(tmp_path, redis_url, wait=False) as (_, client):
        until(lambda: (tmp_path / "stderr").read_text().count("Application startup complete"))
        assert client.get("/readyz").status_code == 503
    (warning,) = warnings()
    assert warning["event"] == "no model is published"
    assert warning["models"] == str(tmp_path / "models")
    assert "run `skewless publish`" in warning["mend"]


def test_workers_share_their_counters(state: Path, stored: str):
    with served(state, stored, "--workers", "2") as (_, client):
        for _ in range(20):
            assert httpx.post(f"{client.base_url}{PREDICT}", json={"rows": [ROW]}).status_code == 200
        line = 'skewless_requests_total{model="tiny",status="200"} 20.0'
        assert all(line in httpx.get(f"{client.base_url}/metrics").text for _ in range(5))
    assert len(logged(state / "served")) == 20


def connected(client: httpx.Client) -> socket.socket | None:
    try:
        return socket.create_connection((client.base_url.host, client.base_url.port), timeout=HANG_SECONDS)
    except ConnectionRefusedError:
        return None


def raw(rows: int = 1) -> bytes:
    body = json.dumps({"rows": [ROW] * rows}).encode()
    return b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
        PREDICT.encode(),
        len(body),
        body,
    )


def test_workers_are_warm_before_they_accept(state: Path, stored: str):
    """Who connects while they start waits, and is answered with scores: by whoever is ready first, and it is."""
    with served(state, stored, "--workers", "2", wait=False) as (_, client):
        first: list[socket.socket] = []
        until(lambda: first.extend(filter(None, [connected(client)])) or first)
        first += [one for one in (connected(client) for _ in range(15)) if one is not None]
        for one in first:
            one.sendall(raw())
        answers = [ResponseReader(one).read() for one in first]
        for one in first:
            one.close()
    assert [(answer.status, answer.reason) for answer in answers] == [(200, b"OK")] * 16
    assert len(logged(state / "served")) == 16


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_stop_finishes_what_is_in_flight(state: Path, stored: str, workers: str):
    """The store keeps all requests waiting; the server is told to stop; then the store answers."""
    with served(state, stored, "--workers", workers) as (process, client), Redis.from_url(stored) as redis:
        # A worker that still starts would end by the signal, without a word.
        until(lambda: (state / "stderr").read_text().count("Application startup complete") == int(workers))
        connections = [connected(client) for _ in range(8)]
        responses = [ResponseReader(connection) for connection in connections]
        for connection, response in zip(connections, responses, strict=True):
            connection.sendall(raw())
            assert response.read().status == 200
        store = redis.info()["process_id"]
        os.kill(store, signal.SIGSTOP)
        try:
            for place, connection in enumerate(connections):
                connection.sendall(raw(place + 1))
            until(lambda: not bytes_unread_by_server(client.base_url.port))
            process.terminate()
            until(lambda: (state / "stderr").read_text().count("Shutting down") == int(workers))
        finally:
            os.kill(store, signal.SIGCONT)
        answers = [response.read() for response in responses]
        assert all(response.at_end() for response in responses)
        for connection in connections:
            connection.close()
        process.wait(HANG_SECONDS)
    assert [(answer.status, answer.headers.get(b"connection")) for answer in answers] == [(200, b"close")] * 8
    assert len(logged(state / "served")) == 8 + 36


def test_a_port_in_use_is_told(state: Path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = subprocess.run(
            [SKEWLESS, "serve", "--port", port],
            cwd=state,
            env={},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: SKEWLESS_HOST or SKEWLESS_PORT is set wrongly: 127.0.0.1:")


def test_importing_the_server_brings_no_feast():
    heavy = "{'feast', 'pandas', 'duckdb', 'airflow', 'sqlalchemy', 'skewless.runtime', 'skewless.offline'}"
    script = f"import sys, skewless.server.app, skewless.server.api.server; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("path", ["/v1/models/{name}/predict", "/v1/models", "/readyz", "/healthz", "/metrics"])
def test_openapi_knows_each_route(state: Path, path: str):
    from skewless.server.app import create_app
    from tests.services.predict_server import settings_of

    document = create_app(settings_of(state, "redis://127.0.0.1:1")).openapi()
    assert path in document["paths"]
    operation = document["paths"]["/v1/models/{name}/predict"]["post"]
    body = operation["requestBody"]["content"]["application/json"]
    assert body["schema"]["properties"]["rows"]["maxItems"] == 1000
    assert body["examples"]
    assert set(operation["responses"]) == {"200", "400", "403", "404", "410", "413", "415", "422", "502", "503"}
