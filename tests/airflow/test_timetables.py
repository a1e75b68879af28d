"""The DAGs of a project: each module is short and quick to read, and somebody hears of failures."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from skewless.airflow.pools import POOLS, pool
from tests.checkout import DAGS

LINES = 60
PARSE_SECONDS = 1.0
ROOM = DAGS / "skewless/airflow"
FILES, TIMETABLES = sorted(DAGS.glob("*.py")), sorted((ROOM / "dags").glob("*.py"))
HERE = "flights"
KINDS = ("audit", "compact", "drift", "erase", "expire", "ingest_daily", "ingest_hourly", "materialize", "quality")
DAG_NAMES = {
    f"{HERE}_{name}"
    for name in (*KINDS, "retrain_flight_delay", "retrain_on_drift_flight_delay", "score", "trim", "verify")
}
OFFLINE, ONLINE, DRIFT, SCORES = (
    f"{HERE}_{name}" for name in ("offline_store", "online_store", "drift_flight_delay", "scores_flight_delay")
)


def tasks(facts: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, dag in facts["dags"].items():
        for task, told in dag["tasks"].items():
            yield f"{name}.{task}", told


@pytest.mark.parametrize("file", [*FILES, *TIMETABLES], ids=lambda file: file.name)
def test_a_timetable_is_short(file: Path):
    assert len(file.read_text().splitlines()) <= LINES


@pytest.mark.parametrize("file", TIMETABLES, ids=lambda file: file.name)
def test_what_is_read_at_parse_imports_airflow_the_room_and_the_standard_library_alone(file: Path):
    roots = set()
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.Import):
            roots |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not str(node.module).startswith("skewless.") or str(node.module).startswith("skewless.airflow")
            roots.add(str(node.module).partition(".")[0])
    assert roots <= sys.stdlib_module_names | {"airflow", "skewless"}


def test_reading_them_is_quick_and_loads_nothing_heavy(facts: dict[str, Any]):
    assert facts["errors"] == {}
    assert facts["seconds"] < PARSE_SECONDS
    heavy = {"feast", "pandas", "numpy", "pyarrow", "redis", "sqlalchemy", "duckdb", "lightgbm", "feature_repo"}
    assert not heavy & set(facts["imported"])


def test_the_dags_are_these(facts: dict[str, Any]):
    assert facts["dags"].keys() == DAG_NAMES


def test_every_dag_says_what_it_is_and_when_it_is_late(facts: dict[str, Any]):
    for name, dag in facts["dags"].items():
        assert dag["owner"] == "skewless", name
        assert dag["description"].endswith("."), name
        assert dag["doc"], name
        assert "skewless" in dag["tags"], name
        assert dag["late"], name
        assert not dag["catchup"], name


def test_runs_of_a_dag_that_writes_come_one_at_a_time(facts: dict[str, Any]):
    assert {dag["runs_at_once"] for dag in facts["dags"].values()} == {1}


def test_every_task_is_tried_again_only_where_that_helps_and_somebody_hears_of_it(facts: dict[str, Any]):
    for name, task in tasks(facts):
        assert task["retries"] >= 3, name
        assert task["backoff"] > 1, name
        assert task["policy"] == "FailOnRefusal", name
        assert 0 < task["timeout"] <= 3600, name
        assert task["alerted"] == ["task_failed"], name


def test_mapped_tasks_have_readable_names(facts: dict[str, Any]):
    mapped = {name: task["map_index_template"] for name, task in tasks(facts) if task["mapped"]}
    named = {
        f"{HERE}_{name}" for name in ("materialize.materialize", "ingest_daily.ingest", "audit.audit", "verify.verify")
    }
    assert named <= mapped.keys()
    assert all(mapped.values()), mapped


def test_downstream_is_scheduled_by_the_assets_of_upstream(facts: dict[str, Any]):
    made = {outlet for _, task in tasks(facts) for outlet in task["outlets"]}
    waited = {dag["waits_for"] for dag in facts["dags"].values() if dag["waits_for"]}
    assert made == {OFFLINE, ONLINE, DRIFT, SCORES}
    assert waited <= made
    schedules = {name: dag["schedule"] for name, dag in facts["dags"].items()}
    assert schedules[f"{HERE}_ingest_daily"] == schedules[f"{HERE}_ingest_hourly"] == "CronPartitionTimetable"
    waits_for = {name: dag["waits_for"] for name, dag in facts["dags"].items() if dag["waits_for"]}
    assert waits_for == {
        f"{HERE}_materialize": OFFLINE,
        f"{HERE}_audit": ONLINE,
        f"{HERE}_score": ONLINE,
        f"{HERE}_retrain_on_drift_flight_delay": DRIFT,
    }
    assert {schedules[name] for name in waits_for} == {"PartitionedAssetTimetable"}


def test_who_waits_for_a_person_is_late_only_after_that_and_ends_either_way(facts: dict[str, Any]):
    for name in ("flights_retrain_flight_delay", "flights_retrain_on_drift_flight_delay"):
        dag = facts["dags"][name]
        (waits,) = dag["tasks"]["approve"]["answered_within"]
        assert dag["late"] == [waits + 3600.0]
        assert dag["tasks"]["canary"]["upstream"] == ["approve", "decide", "retrain"]


def test_what_reads_days_of_what_was_served_or_stored_runs_by_the_day(facts: dict[str, Any]):
    schedules = {name: dag["schedule"] for name, dag in facts["dags"].items()}
    assert schedules["flights_drift"] == schedules["flights_quality"] == "CronPartitionTimetable"
    assert schedules["flights_verify"] == schedules["flights_expire"] == "CronTriggerTimetable"


def test_a_subject_is_erased_by_hand_alone_and_at_first_only_looked_for(facts: dict[str, Any]):
    erase = facts["dags"]["flights_erase"]
    assert (erase["schedule"], erase["params"]) == ("NullTimetable", ["dry_run", "entity"])


def test_an_asset_is_told_of_by_the_last_task_alone(facts: dict[str, Any]):
    for name, dag in facts["dags"].items():
        upstream = {before for task in dag["tasks"].values() for before in task["upstream"]}
        assert not [task for task, told in dag["tasks"].items() if told["outlets"] and task in upstream], name


def test_who_writes_to_a_store_shares_its_pool_and_tables_are_rewritten_in_turn(facts: dict[str, Any]):
    pools = {name: task["pool"] for name, task in tasks(facts) if task["pool"] != "default_pool"}
    tables, online, training = (pool(HERE, role) for role in POOLS)
    assert pools == {
        f"{HERE}_ingest_daily.ingest": tables,
        f"{HERE}_ingest_hourly.ingest": tables,
        f"{HERE}_compact.compact": tables,
        f"{HERE}_erase.erase": tables,
        f"{HERE}_trim.trim": tables,
        f"{HERE}_expire.expire": online,
        f"{HERE}_verify.verify": online,
        f"{HERE}_materialize.materialize": online,
        f"{HERE}_materialize.outputs": online,
        f"{HERE}_retrain_flight_delay.retrain": training,
        f"{HERE}_retrain_on_drift_flight_delay.retrain": training,
    }
    assert (POOLS["training"], POOLS["offline_store"]) == (1, 1)


def test_a_task_that_writes_a_view_does_not_wait_for_feast_to_be_imported():
    """It takes seconds, and there is a task for each view and partition."""
    imported = "import sys, skewless.online.materialization.materialize, skewless.monitoring.quality.gates, skewless.online.store.embedded_valkey, skewless.monitoring.reports.freshness_metrics; sys.exit('feast' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-W", "ignore", "-c", imported], cwd=DAGS.parent, check=False).returncode == 0
    )
