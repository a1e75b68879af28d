"""A real Airflow for tests: the stack of `make airflow`, asked over its REST API."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

import httpx

from dags.stack import Stack

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

ENDED = {"success", "failed"}


class Airflow:
    """Asks a running stack."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.api = httpx.Client(base_url=f"{stack.url}/api/v2", timeout=60)

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

    def trigger(self, dag: str, partition: str) -> None:
        asked = {"logical_date": None, "partition_key": partition}
        self.api.post(f"/dags/{dag}/dagRuns", json=asked).raise_for_status()

    def runs(self, dag: str) -> dict[str, str]:
        """The state of each run, by partition key."""
        found = self.get(f"/dags/{dag}/dagRuns", limit=100)["dag_runs"]
        return {run["partition_key"]: run["state"] for run in found}

    def tasks(self, dag: str = "~", state: str | None = None) -> list[dict[str, Any]]:
        query = {"state": state} if state else {}
        return self.get(f"/dags/{dag}/dagRuns/~/taskInstances", limit=100, **query)["task_instances"]

    def until(self, holds: Callable[[], Any], seconds: float, what: str) -> Any:
        """Wait until something holds, and return it."""
        last = time.monotonic() + seconds
        while not (found := holds()):
            if part := self.stack.ended():
                raise AssertionError(f"{part} ended: {self.stack.log(part).read_text()[-4000:]}")
            if time.monotonic() > last:
                told = [(t["task_id"], t["map_index"], t["state"], t["try_number"]) for t in self.tasks()]
                raise AssertionError(f"waited {seconds} s for {what}; tasks: {told}")
            time.sleep(0.3)
        return found
