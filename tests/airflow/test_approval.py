"""In a real scheduler: an alarm of drift retrains the model that drifted and no other, a person approves by the REST API,
and the canary stands in the rollout.
"""

from __future__ import annotations

import json
import shutil
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from skewless.local_airflow.stack import AirflowStack, running
from skewless.online.store.valkey_process import free_port
from skewless.registry.model_registry import ModelRegistry
from tests.airflow import dag_folder, retraining_project
from tests.services.airflow import QUICK, Airflow

DAG, OTHER = "tests_retrain_on_drift_late", "tests_retrain_on_drift_strict"
READS_SECONDS = 3.0
"""What is answered before Airflow's scheduler has heard that the task waits, it takes for killed, and asks again."""
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning:feast", "ignore::DeprecationWarning")


@pytest.mark.timeout(900)
def test_after_an_alarm_a_person_approves_and_the_canary_stands_in_the_rollout(
    airflow_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, repo = tmp_path / "state", tmp_path / "feature_repo"
    retraining_project.project(state, repo)
    monkeypatch.setenv("SKEWLESS_STATE", str(state))
    monkeypatch.setenv("SKEWLESS_FEATURE_REPO", str(repo))
    monkeypatch.setenv("AIRFLOW_VAR_TESTS_RETRAIN_ON_DRIFT_LATE", json.dumps(retraining_project.CHOICES))
    shutil.copytree(airflow_home, tmp_path / "airflow")
    dags = dag_folder.beside(repo)
    with (
        running(AirflowStack(tmp_path / "airflow", dags, free_port(), QUICK), dag_folder.pools("tests")) as stack,
        closing(Airflow.of(stack)) as airflow,
    ):
        airflow.await_dags([DAG, OTHER], 120)
        airflow.unpause(DAG, OTHER)
        _alarm(airflow, "2013-04-01", retraining_project.MODEL)
        (asking,) = airflow.until(lambda: airflow.tasks(DAG, "awaiting_input"), 300, "a person to be asked")
        assert asking["task_id"] == "approve"
        where = f"/dags/{DAG}/dagRuns/{asking['dag_run_id']}/taskInstances/approve/-1/hitlDetails"
        assert "late 1.1.0 is better (champion 1.0.0)" in airflow.get(where)["body"]
        assert [rollout.canary for rollout in _history(state)] == [None]
        time.sleep(READS_SECONDS)
        airflow.until(lambda: _approved(airflow, where), 180, "the runs to end")
        assert airflow.runs(OTHER) == {}
    published, approved = _history(state)
    assert published.champion == approved.champion == "1.0.0"
    assert approved.canary
    assert (approved.canary.version, approved.canary.weight) == ("1.1.0", 0.05)
    assert approved.change.by.endswith(f", asked by {DAG}")


def _alarm(airflow: Airflow, partition: str, model: str) -> None:
    """What the DAG of drift says where a model drifted."""
    (asset,) = airflow.get("/assets", name_pattern=f"tests_drift_{model}")["assets"]
    told = {"asset_id": asset["id"], "partition_key": partition, "extra": {}}
    airflow.api.post("/assets/events", json=told).raise_for_status()


def _approved(airflow: Airflow, where: str) -> bool:
    """Whether the runs have ended; until then whoever is asked approves."""
    if airflow.tasks(DAG, "awaiting_input"):
        answer = airflow.api.patch(where, json={"chosen_options": ["Approve"]})
        assert answer.is_success or answer.status_code == httpx.codes.CONFLICT, answer.text
    return airflow.runs(DAG) == {"2013-04-01": "success"}


def _history(state: Path) -> list[Any]:
    return ModelRegistry(state / "models", state / "models").history(retraining_project.MODEL)
