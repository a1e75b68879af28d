"""Run in a process of its own, under a stack's environment: `dag.test()` of DAGs, one after the other, and what became
of their tasks, as JSON. Arguments: the folder of the DAGs, and as JSON `runs` (DAG, conf, a file to remove before) and
`connections`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import structlog
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import Connection
from airflow.sdk.execution_time.callback_supervisor import execute_callback

from dags.connections import redis_url
from dags.terms import RefusalsFail
from pipelines.errors import SourceMismatch
from pipelines.redis_connection import RedisUnreachable


def ran(bag: DagBag, name: str, conf: dict[str, Any], removed: str | None) -> dict[str, Any]:
    if removed:
        Path(removed).unlink()
    dag = bag.dags[name]
    dag.deadline = None  # Airflow 3.3 cannot test a DAG that has one
    run = dag.test(run_conf=conf)
    tasks = {
        f"{task.task_id}[{task.rendered_map_index}]" if task.map_index >= 0 else task.task_id: [
            str(task.state),
            task.try_number,
        ]
        for task in run.get_task_instances()
    }
    return {"state": str(run.state), "tasks": tasks}


def verdict(error: BaseException) -> str:
    return RefusalsFail().evaluate(error, 1, 4).action.value


def url(spelled: dict[str, Any]) -> str:
    extra = spelled.pop("extra", None)
    return redis_url(Connection(conn_id="c", **spelled, extra=json.dumps(extra) if extra else None))


def missed(dag: Any) -> tuple[bool, str | None]:
    """As an executor does it for a run of `dag` that missed its deadline."""
    (alert,) = dag.deadline
    context = {"dag_run": {"dag_run_id": "a run"}, "deadline": {"id": "1"}}
    told = alert.callback.kwargs | {"context": context}
    return execute_callback(alert.callback.path, told, Path("compact.py"), Path(sys.argv[1]), structlog.get_logger())


bag, asked = DagBag(sys.argv[1], bundle_name="dags-folder"), json.loads(sys.argv[2])
told = {
    "missed": missed(bag.dags["skewless_compact"]),
    "runs": [ran(bag, *run) for run in asked["runs"]],
    "urls": {name: url(spelled) for name, spelled in asked["connections"].items()},
    "policy": {
        "a store that does not answer": verdict(RedisUnreachable("redis://nobody", "refused")),
        "a lost connection": verdict(ConnectionResetError()),
        "bad data": verdict(SourceMismatch("route", "flights", "is of type string")),
    },
}
print("ran:" + json.dumps(told))
