"""Run in a process of its own, under a stack's environment: what Airflow makes of the DAG files, as JSON."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import airflow.sdk  # noqa: F401 - loaded before each file in a real dag-processor too
from airflow.dag_processing.dagbag import DagBag


def names(callbacks: Any) -> list[str]:
    return [callback.__name__ for callback in (callbacks if isinstance(callbacks, list) else [callbacks])]


def task(found: Any) -> dict[str, Any]:
    return {
        "retries": found.retries,
        "backoff": found.retry_exponential_backoff,
        "policy": type(found.retry_policy).__name__,
        "timeout": found.execution_timeout.total_seconds(),
        "alerted": names(found.on_failure_callback),
        "answered_within": [at.total_seconds() for at in [getattr(found, "response_timeout", None)] if at],
        "pool": found.pool,
        "outlets": [outlet.name for outlet in found.outlets],
        "mapped": found.is_mapped,
        "map_index_template": getattr(found, "map_index_template", None),
        "upstream": sorted(found.upstream_task_ids),
    }


def facts(folder: str) -> dict[str, Any]:
    known = set(sys.modules)
    began = time.process_time()
    bag = DagBag(folder, bundle_name="dags-folder")
    spent = time.process_time() - began
    return {
        "errors": bag.import_errors,
        "seconds": spent,
        "imported": sorted({name.partition(".")[0] for name in set(sys.modules) - known}),
        "dags": {
            name: {
                "owner": dag.owner,
                "description": dag.description,
                "doc": dag.doc_md,
                "tags": sorted(dag.tags),
                "catchup": dag.catchup,
                "runs_at_once": dag.max_active_runs,
                "late": [alert.interval.total_seconds() for alert in dag.deadline],
                "schedule": type(dag.timetable).__name__,
                "waits_for": getattr(getattr(dag.timetable, "asset_condition", None), "name", None),
                "params": sorted(dag.params),
                "cron": getattr(dag.timetable, "expression", None),
                "key": getattr(dag.timetable, "key_format", None),
                "file": dag.relative_fileloc,
                "start": dag.start_date and dag.start_date.isoformat(),
                "tasks": {found.task_id: task(found) for found in dag.tasks},
            }
            for name, dag in bag.dags.items()
        },
    }


print("facts:" + json.dumps(facts(sys.argv[1])))
