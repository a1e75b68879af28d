"""`make airflow`: it answers on the loopback alone, lets DAGs run on demand, and leaves nothing running behind."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import psutil
import pytest

from dags.stack import UNPAUSED, Stack, StackFailed
from pipelines.valkey_process import free_port
from tests.dags import flights
from tests.dags.conftest import FOLDER

START_SECONDS, STOP_SECONDS = 240.0, 120.0


@pytest.mark.timeout(450)
def test_the_local_airflow_runs_and_stops_cleanly(
    airflow_home: Path, tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SKEWLESS_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("SKEWLESS_REDIS_URL", redis_url)
    monkeypatch.setenv("SKEWLESS_FEATURE_REPO", str(flights.definitions(tmp_path / "feature_repo")))
    shutil.copytree(airflow_home, tmp_path / "state" / "airflow")
    port, told = free_port(), tmp_path / "told"
    command = [sys.executable, "-W", "ignore", "-m", "dags.stack", "--unpause", "--port", str(port)]
    with told.open("wb") as output:
        process = subprocess.Popen(command, cwd=FOLDER.parent, stdout=output, stderr=output)
    started: list[psutil.Process] = []
    try:
        last = time.monotonic() + START_SECONDS
        while f"http://127.0.0.1:{port}" not in told.read_text():
            assert process.poll() is None, told.read_text()
            assert time.monotonic() < last, told.read_text()
            time.sleep(0.3)
        started = psutil.Process(process.pid).children(recursive=True)
        paused = {
            dag["dag_id"]: dag["is_paused"] for dag in httpx.get(f"http://127.0.0.1:{port}/api/v2/dags").json()["dags"]
        }
        assert {name for name, waits in paused.items() if not waits} == set(UNPAUSED)
        heard = [
            at.laddr
            for part in started
            if part.is_running()
            for at in part.net_connections("tcp")
            if at.status == "LISTEN"
        ]
        assert {at.ip for at in heard} == {"127.0.0.1"}
        assert port in {at.port for at in heard}
        process.send_signal(signal.SIGTERM)
        assert process.wait(STOP_SECONDS) == 0
        assert told.read_text().rstrip().endswith("stopped")
        assert not psutil.wait_procs(started, 10)[1]
    finally:
        for left in [*started, process]:
            if left.is_running() if isinstance(left, psutil.Process) else left.poll() is None:
                left.kill()
        process.wait()


def test_a_part_that_ends_is_named_with_its_log(tmp_path: Path) -> None:
    stack = Stack(tmp_path, free_port(), {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "sqlite:////nowhere/airflow.db"})
    with pytest.raises(StackFailed, match="Airflow's db migrate failed"):
        stack.prepare()


def test_the_keys_of_an_installation_are_its_own_and_stay(tmp_path: Path) -> None:
    here, there = Stack(tmp_path / "here"), Stack(tmp_path / "there")
    key = "AIRFLOW__API_AUTH__JWT_SECRET"
    assert here.environment[key] == Stack(tmp_path / "here").environment[key] != there.environment[key]
    assert (tmp_path / "here" / "secrets.json").stat().st_mode & 0o077 == 0
