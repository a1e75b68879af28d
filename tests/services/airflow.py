"""A real Airflow for tests: the stack of `make airflow`, asked over its REST API."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil

from skewless.local_airflow.stack import AirflowStack
from skewless.online.store.valkey_process import free_port
from tests.checkout import ROOT

QUICK = {
    "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.5",
    "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "600",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "15",
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "5",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_SEC": "2",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "15",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
    "AIRFLOW__CORE__DEFAULT_TASK_RETRY_DELAY": "1",
    "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
}
"""What makes failures show, and runs follow one another, in seconds."""

START_SECONDS = 240.0


class Airflow:
    """Asks a running Airflow. `ended` says which part of it has ended by itself, and its last words."""

    def __init__(self, url: str, ended: Callable[[], str | None]) -> None:
        self.url, self.ended = url, ended
        self.api = httpx.Client(base_url=f"{url}/api/v2", timeout=60)

    @classmethod
    def of(cls, stack: AirflowStack) -> Airflow:
        return cls(stack.url, lambda: (part := stack.ended()) and f"{part}: {stack.log(part).read_text()[-4000:]}")

    def close(self) -> None:
        self.api.close()

    def get(self, path: str, **query: Any) -> dict[str, Any]:
        answer = self.api.get(path, params=query)
        answer.raise_for_status()
        return answer.json()

    def await_dags(self, names: Iterable[str], seconds: float) -> None:
        wanted = set(names)
        self.until(lambda: wanted <= {dag["dag_id"] for dag in self.get("/dags")["dags"]}, seconds, "its DAGs")

    def unpause(self, *names: str) -> None:
        for name in names:
            self.api.patch(f"/dags/{name}", json={"is_paused": False}).raise_for_status()

    def trigger(self, dag: str, partition: str | None) -> None:
        asked = {"logical_date": None, "partition_key": partition}
        self.api.post(f"/dags/{dag}/dagRuns", json=asked).raise_for_status()

    def runs(self, dag: str) -> dict[str, str]:
        """The state of each run, by partition key."""
        found = self.get(f"/dags/{dag}/dagRuns", limit=100)["dag_runs"]
        return {run["partition_key"]: run["state"] for run in found}

    def run(self, dag: str, partition: str) -> dict[str, Any]:
        """The one run of a partition."""
        found = self.get(f"/dags/{dag}/dagRuns", limit=100)["dag_runs"]
        (run,) = [run for run in found if run["partition_key"] == partition]
        return run

    def returned(self, dag: str, partition: str) -> list[Any]:
        """What each task of a partition's run returned; an instance of a mapped task is a task."""
        run = self.run(dag, partition)["dag_run_id"]
        places = [(task["task_id"], task["map_index"]) for task in self.tasks(dag) if task["dag_run_id"] == run]
        found = f"/dags/{dag}/dagRuns/{run}/taskInstances/{{}}/xcomEntries/return_value"
        return [self.get(found.format(task), map_index=index)["value"] for task, index in places]

    def tasks(self, dag: str = "~", state: str | None = None) -> list[dict[str, Any]]:
        query = {"state": state} if state else {}
        return self.get(f"/dags/{dag}/dagRuns/~/taskInstances", limit=100, **query)["task_instances"]

    def until(self, holds: Callable[[], Any], seconds: float, what: str) -> Any:
        """Wait until something holds, and return it."""
        last = time.monotonic() + seconds
        while not (found := holds()):
            if ended := self.ended():
                raise AssertionError(f"ended: {ended}")
            if time.monotonic() > last:
                raise AssertionError(f"waited {seconds} s for {what}; tasks: {self._told()}")
            time.sleep(0.3)
        return found

    def _told(self) -> list[Any]:
        try:
            return [(t["task_id"], t["map_index"], t["state"], t["try_number"]) for t in self.tasks()]
        except httpx.TransportError as error:
            return [error]


@contextmanager
def made(told: Path, dags: Path, *options: str) -> Iterator[tuple[psutil.Popen, Airflow]]:
    """The process of `make airflow` and what it runs, once it says so; it should have ended at the end of the block."""
    port = free_port()
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "skewless.local_airflow.stack",
        "--dags",
        str(dags),
        "--port",
        str(port),
    ]
    command += options
    with told.open("wb") as output:
        process = psutil.Popen(command, cwd=ROOT, stdout=output, stderr=output)
    try:
        ended = lambda: None if process.poll() is None else told.read_text()  # noqa: E731
        with closing(Airflow(f"http://127.0.0.1:{port}", ended)) as airflow:
            airflow.until(lambda: airflow.url in told.read_text(), START_SECONDS, "Airflow to run")
            yield process, airflow
            assert process.poll() is not None
    finally:
        if process.poll() is None:
            process.kill()  # what it runs ends with it
            process.wait()
