"""Every DAG through `dag.test()`: what succeeds, what fails at once, who is told, and what lineage is emitted."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skewless.online.store.embedded_valkey import RunningValkey
from skewless.project import apply
from tests.airflow import dag_folder, dag_test_process, flights_project

WINDOW = {"start": "2013-02-05", "end": "2013-02-06T00:00:00Z"}
CONNECTIONS = {
    "a": ({"conn_type": "redis", "host": "r", "port": 6380, "password": "p/w@"}, "redis://:p%2Fw%40@r:6380"),
    "b": ({"conn_type": "redis", "host": "r", "extra": {"ssl": True, "db": 3}}, "rediss://r:6379/3"),
    "c": ({"conn_type": "redis", "host": "r", "login": "u", "password": "p", "extra": {"cluster": True}},
          "redis+cluster://u:p@r:6379"),
    "d": ({"conn_type": "redis", "host": "/run/redis.sock", "extra": {"db": 1}}, "unix:///run/redis.sock?db=1"),
    "e": ({"conn_type": "rediss", "host": "r", "schema": "2"}, "rediss://r:6379/2"),
}  # fmt: skip


pytestmark = pytest.mark.timeout(900)  # of all runs, in the first test's setup


class Told(BaseHTTPRequestHandler):
    """Somebody on call."""

    heard: list[str]

    def do_POST(self) -> None:
        self.heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["text"])
        self.send_response(204)
        self.end_headers()

    def log_message(self, *told: object) -> None: ...


@pytest.fixture(scope="module")
def on_call() -> Iterator[tuple[str, list[str]]]:
    heard: list[str] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Here", (Told,), {"heard": heard}))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"127.0.0.1:{server.server_port}", heard
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def told(
    airflow_home: Path,
    tmp_path_factory: pytest.TempPathFactory,
    redis_server: RunningValkey,
    on_call: tuple[str, list[str]],
) -> dict[str, Any]:
    """What one process with all the runs told: first with a table of a wrong type, then without."""
    folder = tmp_path_factory.mktemp("runs")
    state, repo = folder / "state", flights_project.definitions(folder / "feature_repo")
    wrong = state / "data" / "route" / "wrong.parquet"
    wrong.parent.mkdir(parents=True)
    day = pa.array([1_360_000_000_000_000], pa.timestamp("us", "UTC"))
    pq.write_table(pa.table({"origin": [1], "dest": ["LAX"], "event_timestamp": day, "created_timestamp": day}), wrong)
    ours = {
        "SKEWLESS_STATE": str(state),
        "SKEWLESS_FEATURE_REPO": str(repo),
        "SKEWLESS_REDIS_URL": "redis://127.0.0.1:1",  # nobody: the connection goes before it
        "AIRFLOW_CONN_SKEWLESS_REDIS": json.dumps(
            {"conn_type": "redis", "host": redis_server.url.removeprefix("unix://")}
        ),
        "AIRFLOW_CONN_SKEWLESS_ALERTS": json.dumps({"conn_type": "http", "host": on_call[0], "password": "hook"}),
        "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(
            {"type": "file", "log_file_path": str(folder / "lineage"), "append": True}
        ),
    }
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SKEWLESS_STATE", str(state))
        apply.run(repo, at=datetime.now(UTC))
    asked = {
        "runs": [
            ["flights_ingest_daily", WINDOW, {}],
            ["flights_ingest_hourly", {"start": "2013-02-05T03:00:00Z", "end": "2013-02-05T04:00:00Z"}, {}],
            ["flights_materialize", WINDOW, {}],
            ["flights_materialize", WINDOW, {"remove": str(wrong)}],
            ["flights_audit", WINDOW, {}],
            ["flights_score", WINDOW, {}],
            ["flights_compact", {}, {}],
        ],
        "connections": {name: spelled for name, (spelled, _) in CONNECTIONS.items()},
    }
    done = dag_test_process.run(airflow_home, folder / "airflow", dag_folder.beside(repo), ours, asked)
    events = [json.loads(line) for line in (folder / "lineage").read_text().splitlines()]
    return done | {"events": events, "heard": on_call[1], "state": state}


def test_every_dag_succeeds_by_hand(told: dict[str, Any]):
    assert [run["state"] for run in told["runs"]] == [
        *("success", "success", "failed", "success", "success", "success", "success")
    ]
    views = {f"materialize[{view}]": ["success", 1] for view in flights_project.VIEWS}
    others = {"plan": ["success", 1], "outputs": ["skipped", 1], "fresh": ["success", 1]}
    assert told["runs"][3]["tasks"] == views | others


def test_where_the_declared_model_is_not_published_nothing_is_scored(told: dict[str, Any]):
    assert told["runs"][5]["tasks"] == {"score_flight_delay": ["skipped", 1]}
    assert "a published version of flight_delay does not exist yet" in told["log"]


def test_bad_data_fails_at_once_and_names_view_and_column(told: dict[str, Any]):
    tasks = told["runs"][2]["tasks"]
    assert tasks["materialize[route]"] == ["failed", 1]
    assert tasks["materialize[origin_weather]"] == ["success", 1]
    assert tasks["fresh"][0] == "upstream_failed"


def test_whoever_is_on_call_hears_view_window_and_mend(told: dict[str, Any]):
    _, heard = told["heard"]
    assert heard.startswith("flights_materialize: materialize of route for [2013-02-05T00:00:00+00:00, 2013-02-06")
    assert "feature view 'route': column '" in heard
    assert "mend the definition in feature_repo/ or the table" in heard


def test_whoever_is_on_call_hears_of_a_run_that_is_late(told: dict[str, Any]):
    assert told["missed"] == [True, None]
    assert told["heard"][0].startswith("flights_compact: run a run is late, it has not ended 60 minutes after")


def test_only_what_may_help_is_tried_again(told: dict[str, Any]):
    assert told["policy"] == {
        "a store that does not answer": "default",
        "a lost connection": "default",
        "bad data": "fail",
    }


def test_connections_become_urls(told: dict[str, Any]):
    assert told["urls"] == {name: url for name, (_, url) in CONNECTIONS.items()}


def test_lineage_names_the_feast_views(told: dict[str, Any]):
    written = {
        (dataset["namespace"], dataset["name"])
        for event in told["events"]
        if event["eventType"] == "COMPLETE"
        for dataset in event.get("outputs", [])
    }
    assert written >= {("feast", f"flights.{view}") for view in flights_project.VIEWS}
    read = {dataset["name"] for event in told["events"] for dataset in event.get("inputs", [])}
    assert {str(told["state"] / "data" / view).lstrip("/") for view in flights_project.VIEWS} <= read
