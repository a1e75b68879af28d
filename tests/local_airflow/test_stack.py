"""`make airflow`: it answers on the loopback alone, lets DAGs run on demand, and leaves nothing running behind."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest

from skewless.local_airflow.stack import AirflowStack, StackFailed, main, running
from skewless.online.store.valkey_process import free_port
from tests.airflow import dag_folder, flights_project
from tests.checkout import DAGS
from tests.services.airflow import made
from tests.services.processes import living

STOP_SECONDS = 60.0


@pytest.mark.timeout(900)
def test_the_local_airflow_runs_and_stops_cleanly(
    airflow_home: Path, tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SKEWLESS_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("SKEWLESS_REDIS_URL", redis_url)
    repo = flights_project.definitions(tmp_path / "feature_repo")
    dags = dag_folder.beside(repo)
    (dags / "broken.py").write_text(
        "from skewless.airflow import timetables  # DAGs\n\ntimetables(globals(), include='mat')\n"
    )
    (dags / "overlooked.py").write_text(
        "from skewless.airflow import timetables\n\ntimetables(globals(), prefix='x')\n"
    )
    monkeypatch.setenv("SKEWLESS_FEATURE_REPO", str(repo))
    shutil.copytree(airflow_home, tmp_path / "state" / "airflow")
    with made(tmp_path / "told", dags, "--unpause") as (process, airflow):
        started = process.children(recursive=True)
        waits = {dag["dag_id"]: dag["is_paused"] for dag in airflow.get("/dags")["dags"]}
        assert {name for name, paused in waits.items() if paused} == {
            "flights_retrain_flight_delay",
            "flights_retrain_on_drift_flight_delay",
        }
        slots = {pool["name"]: pool["slots"] for pool in airflow.get("/pools")["pools"]}
        assert slots.items() >= {"flights_offline_store": 1, "flights_online_store": 4, "flights_training": 1}.items()
        told = " ".join((tmp_path / "told").read_text().split())
        assert "broken.py cannot be loaded" in told
        assert "timetables(include=...) names 'mat'" in told
        assert "overlooked.py names neither a DAG nor an asset" in told
        heard = [at.laddr for at in _sockets(started) if at.status == "LISTEN"]
        assert {at.ip for at in heard} == {"127.0.0.1"}
        assert urlsplit(airflow.url).port in {at.port for at in heard}
        process.terminate()
        assert process.wait(STOP_SECONDS) == 0
        assert (tmp_path / "told").read_text().rstrip().endswith("stopped")
        assert not living(started, 1)


def _sockets(processes: Iterable[psutil.Process]) -> Iterator[Any]:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            yield from process.net_connections("tcp")


def test_a_port_that_somebody_has_is_refused(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as somebody:
        stack = AirflowStack(tmp_path, DAGS, somebody.getsockname()[1])
        with pytest.raises(StackFailed, match="another process listens there"), running(stack):
            pass


def test_a_setting_is_spelled_as_airflow_does(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--set", "parallelism=3"])
    assert "is not of the form SECTION.KEY=VALUE" in capsys.readouterr().err


def test_a_part_that_ends_is_named_with_its_log(tmp_path: Path) -> None:
    stack = AirflowStack(
        tmp_path, DAGS, free_port(), {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "sqlite:////nowhere/airflow.db"}
    )
    with pytest.raises(StackFailed, match="Airflow's db migrate failed"):
        stack.prepare()


def test_the_keys_of_an_installation_are_its_own_and_stay(tmp_path: Path) -> None:
    here, there = AirflowStack(tmp_path / "here", DAGS), AirflowStack(tmp_path / "there", DAGS)
    key = "AIRFLOW__API_AUTH__JWT_SECRET"
    assert here.environment[key] == AirflowStack(tmp_path / "here", DAGS).environment[key] != there.environment[key]
    assert (tmp_path / "here" / "secrets.json").stat().st_mode & 0o077 == 0
