"""Run in a process of its own, under a stack's environment: `dag.test()` of DAGs, one after the other, and what became
of their tasks, as JSON. Arguments: the folder of the DAGs, as JSON `runs` (DAG, conf, and before it `remove` a file
or `adopt` settings, and what a person will `answer`) and `connections`, and the file of the answer: threads of Airflow
log to the standard output at any time.
"""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import structlog
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import Connection
from airflow.sdk.execution_time.callback_supervisor import execute_callback

from skewless.airflow.connections import redis_url
from skewless.airflow.dag_defaults import FailOnRefusal
from skewless.online.store.connection import RedisUnreachable
from skewless.runtime.errors import SourceMismatch
from skewless.settings.process_environment import adopt
from tests.airflow.approver import answering


def ran(bag: DagBag, name: str, conf: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    if before.get("remove"):
        Path(before["remove"]).unlink()
    for setting, value in before.get("adopt", {}).items():
        adopt(setting, value)
    dag = bag.dags[name]
    dag.deadline = None  # Airflow 3.3 cannot test a DAG that has one
    with own_params(dag), answering(before.get("answer")):
        run = dag.test(run_conf=conf)
    found = {
        f"{task.task_id}[{task.rendered_map_index}]" if task.map_index >= 0 else task.task_id: task
        for task in run.get_task_instances()
    }
    tasks = {name: [str(task.state), task.try_number] for name, task in found.items()}
    returned = {name: task.xcom_pull(task_ids=task.task_id, map_indexes=task.map_index) for name, task in found.items()}
    return {"state": str(run.state), "tasks": tasks, "returned": returned}


@contextmanager
def own_params(dag: Any) -> Iterator[None]:
    """A run's conf stays in the params of the DAG and its tasks, where a process has several runs."""
    holders = [dag, *(task for task in dag.tasks if not task.is_mapped)]
    kept = [holder.params for holder in holders]
    for holder in holders:
        holder.params = copy.deepcopy(holder.params)
    yield
    for holder, params in zip(holders, kept, strict=True):
        holder.params = params


def verdict(error: BaseException) -> str:
    return FailOnRefusal().evaluate(error, 1, 4).action.value


def url(spelled: dict[str, Any]) -> str:
    extra = spelled.pop("extra", None)
    return redis_url(Connection(conn_id="c", **spelled, extra=json.dumps(extra) if extra else None))


def missed(dag: Any) -> tuple[bool, str | None]:
    """As an executor does it for a run of `dag` that missed its deadline."""
    (alert,) = dag.deadline
    context = {"dag_run": {"dag_run_id": "a run"}, "deadline": {"id": "1"}}
    told = alert.callback.kwargs | {"context": context}
    return execute_callback(alert.callback.path, told, Path("project.py"), Path(sys.argv[1]), structlog.get_logger())


bag, asked = DagBag(sys.argv[1], bundle_name="dags-folder"), json.loads(sys.argv[2])
told = {
    "missed": missed(next(dag for name, dag in bag.dags.items() if name.endswith("_compact"))),
    "runs": [ran(bag, *run) for run in asked["runs"]],
    "urls": {name: url(spelled) for name, spelled in asked["connections"].items()},
    "policy": {
        "a store that does not answer": verdict(RedisUnreachable("redis://nobody", "refused")),
        "a lost connection": verdict(ConnectionResetError()),
        "bad data": verdict(SourceMismatch("route", "flights", "is of type string")),
    },
}
Path(sys.argv[3]).write_text(json.dumps(told))
