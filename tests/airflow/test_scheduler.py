"""A real scheduler, api-server and dag-processor drive the chain over real flights, through a failed task, a killed
worker and a killed scheduler, and on to scores and the audit of what was served; afterwards all is what the verbs leave
when they are run by hand.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable
from contextlib import closing
from datetime import date
from pathlib import Path

import pytest

from skewless.local_airflow.process_guard import GRACE_SECONDS
from skewless.local_airflow.stack import FIRST, REST, AirflowStack, running
from skewless.online.maintenance.verify_result import StoreDifference
from skewless.online.store.valkey_process import free_port
from skewless.project.project import ProjectContext
from tests.airflow import dag_folder, flight_predictions, flights_project
from tests.services.airflow import QUICK, Airflow, made
from tests.services.processes import living
from tests.tables.flights import MODEL

CHAIN_OF_DATA = ("flights_ingest_daily", "flights_materialize", "flights_audit")
CHAIN = (*CHAIN_OF_DATA, "flights_score")
DAY = "2013-02-05"
PARTITIONS = {DAY, "2013-02-06"}
BACKFILL = ("--dag-id", CHAIN_OF_DATA[0], "--from-date", DAY, "--to-date", "2013-02-06")
ENDED = {"success", "failed"}
PARTS = len(FIRST + REST)
NEXT = "2013-02-06"
WAREHOUSE = f'''"""A DAG with an ingest of its own, whose runs have no partition key."""

from airflow.sdk import dag, task
from skewless.airflow import offline_store


@dag(schedule=None)
def warehouse():
    @task(outlets=[offline_store("flights")])
    def copy(outlet_events):
        outlet_events[offline_store("flights")].add_partitions("{NEXT}")

    copy()


warehouse()
'''
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning:feast", "ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def applied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return flights_project.registered(tmp_path_factory.mktemp("applied"))


@pytest.mark.timeout(900)
def test_a_backfill_through_every_kind_of_failure_ends_as_the_verbs_do(
    airflow_home: Path, applied: Path, tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = flights_project.by_hand(monkeypatch, applied, tmp_path / "hand", redis_url + "?db=1")
    scheduled = tmp_path / "airflow"
    scheduled.mkdir()
    shutil.copy(applied / "registry.db", scheduled)
    monkeypatch.setenv("SKEWLESS_STATE", str(scheduled))
    monkeypatch.setenv("SKEWLESS_REDIS_URL", redis_url)
    broken = scheduled / "data" / "route" / "broken.parquet"
    broken.parent.mkdir(parents=True)
    broken.write_bytes(b"no Parquet")
    home = scheduled / "stack"
    shutil.copytree(airflow_home, home)
    made_of = AirflowStack(home, dag_folder.beside(applied / "feature_repo"), free_port(), QUICK, rest=("scheduler",))
    with (
        running(made_of, dag_folder.pools("flights")) as stack,
        closing(Airflow.of(stack)) as airflow,
    ):
        airflow.await_dags(CHAIN_OF_DATA, 120)
        airflow.unpause(*CHAIN_OF_DATA)
        stack.airflow("backfill", "create", *BACKFILL)
        _kill_a_running(airflow, "ingest")
        airflow.until(
            lambda: airflow.tasks(CHAIN_OF_DATA[1], "up_for_retry"), 240, "the broken table's task to be tried again"
        )
        broken.unlink()
        _kill_a_running(airflow, "materialize")
        stack.kill("scheduler")
        stack.launch("scheduler")
        for dag in CHAIN_OF_DATA:
            airflow.until(lambda dag=dag: _done(airflow.runs(dag)), 400, f"the runs of {dag}")
        partitions = airflow.runs(CHAIN_OF_DATA[1])
    _same(scheduled, redis_url, expected, partitions)


@pytest.mark.timeout(900)
def test_on_postgresql_a_partition_drives_the_chain_and_nothing_outlives_a_killed_make_airflow(
    applied: Path, tmp_path: Path, redis_url: str, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = flights_project.by_hand(
        monkeypatch, applied, tmp_path / "hand", redis_url + "?db=1", last=date(2013, 2, 6)
    )
    predicted = flight_predictions.by_hand(expected, redis_url + "?db=2")
    scheduled = tmp_path / "airflow"
    for folder in ("models", "served"):
        shutil.copytree(expected.folders.root / folder, scheduled / folder)
    monkeypatch.setenv("SKEWLESS_STATE", str(scheduled))
    monkeypatch.setenv("SKEWLESS_REDIS_URL", redis_url)
    monkeypatch.setenv("SKEWLESS_REGISTRY_URL", postgres_url)
    monkeypatch.setenv("SKEWLESS_STATE_URL", postgres_url)
    monkeypatch.setenv("AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME", "0.5")
    database = postgres_url.replace("postgresql:", "postgresql+psycopg:")
    there = [f"--set=database.sql_alchemy_conn{kind}={database}" for kind in ("", "_async")]
    dags = dag_folder.beside(applied / "feature_repo", 'schedules={"ingest_daily": None}')
    (dags / "warehouse.py").write_text(WAREHOUSE)
    with made(tmp_path / "told", dags, *there) as (process, airflow):
        airflow.await_dags((*CHAIN, "warehouse"), 120)
        airflow.unpause(*CHAIN, "warehouse")
        airflow.trigger(CHAIN[0], DAY)
        for dag in CHAIN:
            airflow.until(lambda dag=dag: airflow.runs(dag).get(DAY) in ENDED, 240, f"the run of {dag}")
            assert airflow.runs(dag)[DAY] == "success"
        airflow.trigger("warehouse", None)
        for dag in CHAIN_OF_DATA[1:]:
            airflow.until(
                lambda dag=dag: airflow.runs(dag).get(NEXT) == "success", 240, f"the run of {dag} by another's ingest"
            )
        partitions = airflow.runs(CHAIN_OF_DATA[1])
        assert {airflow.run(dag, DAY)["run_type"] for dag in CHAIN[1:]} == {"asset_triggered"}
        assert str(predicted.audited) in airflow.returned("flights_audit", DAY)
        assert {one["try_number"] for one in airflow.tasks(state="success")} == {1}
        started = process.children(recursive=True)
        assert len(started) > PARTS
        process.kill()
        assert not living(started, GRACE_SECONDS + 10)
    assert not (scheduled / "airflow" / "airflow.db").exists()
    _same(scheduled, redis_url, expected, partitions)
    scores = scheduled / "scores" / MODEL / "20130205T000000--20130206T000000"
    assert flight_predictions.scored(scores) == predicted.scores
    assert _verified() == dict.fromkeys(flights_project.FEW, 0)


def _same(scheduled: Path, redis_url: str, expected: ProjectContext, partitions: Iterable[str]) -> None:
    """Both stores are what the verbs leave when they are run by hand, but for up to where they are known to be whole."""
    assert flights_project.parquet(scheduled / "data") == flights_project.parquet(expected.folders.data)
    (rows, reached), (by_hand, _) = flights_project.online(redis_url), flights_project.online(redis_url + "?db=1")
    assert rows == by_hand
    assert reached == flights_project.whole(partitions)


def _done(runs: dict[str, str]) -> bool:
    """Of the backfill, and of the day before today, which runs because the DAG was unpaused."""
    assert "failed" not in runs.values()
    return runs.keys() > PARTITIONS and set(runs.values()) == {"success"}


def _kill_a_running(airflow: Airflow, task: str) -> None:
    """SIGKILL the process of a running task."""
    (victim, *_) = airflow.until(
        lambda: [t for t in airflow.tasks(state="running") if t["task_id"] == task and t["pid"]], 240, f"{task} to run"
    )
    os.kill(victim["pid"], signal.SIGKILL)


def _verified() -> dict[str, int]:
    """How many rows differ in each view of which any were compared."""
    skewless = Path(sys.executable).with_name("skewless")
    done = subprocess.run([skewless, "verify", "--json"], capture_output=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    views = json.loads(done.stdout)["views"]
    return {one["view"]: sum(one[kind] for kind in StoreDifference) for one in views if one["compared"]}
