"""A real scheduler, api-server and dag-processor drive the chain over real flights, through a failed task, a killed
worker and a killed scheduler; afterwards both stores are what the verbs leave when they are run by hand.
"""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest

from dags.stack import Stack, running
from pipelines.valkey_process import free_port
from tests.dags import flights
from tests.dags.airflow import QUICK, Airflow

DAGS = ("skewless_ingest_daily", "skewless_materialize", "skewless_audit")
PARTITIONS = {"2013-02-05", "2013-02-06"}
BACKFILL = ("--dag-id", DAGS[0], "--from-date", "2013-02-05", "--to-date", "2013-02-06")
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning:feast", "ignore::DeprecationWarning")


def test_a_backfill_through_every_kind_of_failure_ends_as_the_verbs_do(
    tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = flights.by_hand(monkeypatch, tmp_path / "hand", redis_url + "?db=1")
    scheduled = tmp_path / "airflow"
    scheduled.mkdir()
    shutil.copy(tmp_path / "hand" / "registry.db", scheduled)
    monkeypatch.setenv("SKEWLESS_STATE", str(scheduled))
    monkeypatch.setenv("SKEWLESS_REDIS_URL", redis_url)
    broken = scheduled / "data" / "route" / "broken.parquet"
    broken.parent.mkdir(parents=True)
    broken.write_bytes(b"no Parquet")
    with running(Stack(scheduled / "stack", free_port(), QUICK)) as stack:
        airflow = Airflow(stack)
        airflow.await_dags(DAGS, 120)
        airflow.unpause(*DAGS)
        stack.airflow("backfill", "create", *BACKFILL)
        _kill_a_running(airflow, "ingest")
        airflow.until(lambda: airflow.tasks(DAGS[1], "up_for_retry"), 240, "the broken table's task to be tried again")
        broken.unlink()
        _kill_a_running(airflow, "materialize")
        stack.kill(stack.parts.pop("scheduler"))
        stack.launch("scheduler")
        for dag in DAGS:
            airflow.until(
                lambda dag=dag: (
                    set(airflow.runs(dag).values()) == {"success"} and airflow.runs(dag).keys() == PARTITIONS
                ),
                400,
                dag,
            )
    assert flights.parquet(scheduled / "data") == flights.parquet(expected.folders.data)
    assert flights.online(redis_url) == flights.online(redis_url + "?db=1")


def _kill_a_running(airflow: Airflow, task: str) -> None:
    """SIGKILL the process of a running task."""
    (victim, *_) = airflow.until(
        lambda: [t for t in airflow.tasks(state="running") if t["task_id"] == task and t["pid"]], 240, f"{task} to run"
    )
    print("killed", victim["task_id"], victim["map_index"], victim["pid"])
    os.kill(victim["pid"], signal.SIGKILL)
