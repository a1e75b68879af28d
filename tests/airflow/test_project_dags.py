"""Several projects in one Airflow, found from their DAG files: their names do not collide, none reads what fills its tables,
and a file that cannot be used says why and takes none of the others with it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from skewless.airflow.pools import POOLS, pool
from tests.airflow.dag_folder import facts_of
from tests.models.declarations import HEAD, declaration

STORE = "project: {}\nprovider: local\nregistry: registry.db\nentity_key_serialization_version: 3\n"
FILE = '"""DAGs."""\n\nfrom datetime import UTC, datetime, timedelta\nfrom airflow.sdk import Asset, CronTriggerTimetable\nfrom skewless.airflow import timetables\n\ntimetables(globals(){})\n'
TABLES = 'raise SystemExit("whoever reads DAGs must not run this")\nevents = Table("events", keys="id"{}, rows=SqlQuery(""))\n'
EVERY = ("materialize", "audit", "drift", "quality", "verify", "compact", "trim", "expire", "erase")
BAD = {
    "include": ('include=["materialise"]', "names 'materialise'; did you mean 'materialize'?"),
    "exclude": ("exclude=['retrain_buys']", "names 'retrain_buys'; "),
    "schedules": ("schedules={'verify': 'at dawn'}", "gives verify a schedule that is refused: "),
    "six_hours": (
        "schedules={'ingest_daily': '0 */6 * * *'}",
        "gives ingest_daily '0 */6 * * *'; its runs are for a day",
    ),
    "by_hand": ("schedules={'erase': '@daily'}", "names 'erase'; there are "),
    "pools": ("pools={'online': 'x'}", "names 'online'; "),
    "prefix": ("prefix='my shop'", "is 'my shop'; ids have letters"),
    "catchup": ("catchup=True", "needs a start_date"),
    "project": ("project='../../nowhere'", "which has no feature_repo/feature_store.yaml"),
    "state": ("state='here'", "is 'here'; give an absolute path"),
}


def project(folder: Path, name: str, models: str = "", tables: str | None = None, options: str = "") -> Path:
    """A project and its DAG file."""
    (folder / "feature_repo").mkdir(parents=True)
    (folder / "feature_repo" / "feature_store.yaml").write_text(STORE.format(name))
    if models:
        (folder / "feature_repo" / "models.py").write_text(models)
    if tables is not None:
        (folder / "feature_repo" / "tables.py").write_text(tables)
    return dag_file(folder / "dags" / "project.py", options)


def dag_file(file: Path, options: str = "") -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(FILE.format(f", {options}" if options else ""))
    return file


OPTIONS = """exclude=["compact", "retrain_on_drift"], tags=["team-a"], prefix="eu",
    default_args={"owner": "ada", "retries": 7}, pools={"training": "gpus"}, start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=True, schedules={"drift": "5 2 * * *", "materialize": "7 * * * *", "verify": "@weekly", "score": None,
    "audit": Asset("done"), "retrain_churn": "0 3 * * *"}"""


@pytest.fixture(scope="module")
def told(airflow_home: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What one Airflow makes of them all."""
    folder = tmp_path_factory.mktemp("projects")
    churn, buys = (declaration(name, service="s") for name in ("churn", "buys"))
    project(folder / "shop", "shop", HEAD + churn + buys, TABLES.format(', every="hour"'))
    project(folder / "hotel", "hotel", tables=TABLES.format(""))
    project(folder / "bare", "bare")
    project(folder / "europe", "shop", HEAD + churn, options=OPTIONS)
    project(folder / "broken", "broken", models=HEAD + "churn = Model(name='churn')\n")
    project(folder / "unnamed", "unnamed")
    (folder / "unnamed" / "feature_repo" / "feature_store.yaml").write_text("provider: local\n")
    dag_file(folder / "alone" / "project.py")
    dag_file(folder / "alone" / "named.py", "project='../bare', prefix='elsewhere', include=['verify']")
    for name, (option, _) in BAD.items():
        dag_file(folder / "hotel" / "dags" / f"bad_{name}.py", option)
    linked = project(tmp_path_factory.mktemp("linked") / "linked", "linked")
    (folder / "link.py").symlink_to(linked)
    return facts_of(airflow_home, folder) | {"folder": folder}


def of(told: dict[str, Any], name: str) -> set[str]:
    return {dag.removeprefix(f"{name}_") for dag in told["dags"] if dag.startswith(f"{name}_")}


def test_each_project_has_the_dags_of_what_it_declares(told: dict[str, Any]):
    models = {f"{kind}_{model}" for kind in ("retrain", "retrain_on_drift") for model in ("churn", "buys")}
    assert of(told, "shop") == {*EVERY, "ingest_daily", "ingest_hourly", "score", *models}
    assert of(told, "hotel") == {*EVERY, "ingest_daily"}
    assert of(told, "bare") == set(EVERY)


def test_pools_assets_and_tags_are_the_projects_own(told: dict[str, Any]):
    for name in ("shop", "hotel", "bare"):
        dags = [told["dags"][f"{name}_{kind}"] for kind in of(told, name)]
        tasks = [task for dag in dags for task in dag["tasks"].values()]
        assert {task["pool"] for task in tasks} - {"default_pool"} <= {pool(name, role) for role in POOLS}
        assert all(asset.startswith(f"{name}_") for task in tasks for asset in task["outlets"])
        assert all(name in dag["tags"] for dag in dags)
        assert told["dags"][f"{name}_materialize"]["waits_for"] == f"{name}_offline_store"
    assert told["dags"]["shop_retrain_on_drift_buys"]["waits_for"] == "shop_drift_buys"
    drifted = told["dags"]["shop_drift"]["tasks"]
    assert {name: task["outlets"] for name, task in drifted.items() if task["outlets"]} == {
        "drifted_churn": ["shop_drift_churn"],
        "drifted_buys": ["shop_drift_buys"],
    }


def test_the_file_of_a_dag_is_the_projects_own(told: dict[str, Any]):
    assert told["dags"]["shop_verify"]["file"].endswith("/shop/dags/project.py")


def test_a_file_elsewhere_names_its_project(told: dict[str, Any]):
    assert of(told, "elsewhere") == {"verify"}
    assert of(told, "linked") == set(EVERY)


def test_options_choose_rename_and_schedule(told: dict[str, Any]):
    chosen = of(told, "eu")
    assert chosen == {*EVERY, "score", "retrain_churn"} - {"compact"}
    dags = {name: told["dags"][f"eu_{name}"] for name in chosen}
    assert {dag["owner"] for dag in dags.values()} == {"ada"}
    assert {task["retries"] for task in dags["verify"]["tasks"].values()} == {7}
    assert all("team-a" in dag["tags"] and "eu" in dag["tags"] for dag in dags.values())
    assert dags["retrain_churn"]["tasks"]["retrain"]["pool"] == "gpus"
    assert (dags["drift"]["cron"], dags["drift"]["key"]) == ("5 2 * * *", "%Y-%m-%d")
    assert (dags["materialize"]["cron"], dags["materialize"]["key"]) == ("7 * * * *", "%Y-%m-%dT%H")
    assert (dags["verify"]["schedule"], dags["verify"]["cron"]) == ("CronTriggerTimetable", "0 0 * * 0")
    assert dags["score"]["schedule"] == "PartitionedAtRuntime"
    assert dags["audit"]["schedule"] == "AssetTriggeredTimetable"
    assert dags["retrain_churn"]["cron"] == "0 3 * * *"
    assert {name for name, dag in dags.items() if dag["catchup"]} >= {"drift", "quality", "materialize"}
    assert not {name for name, dag in dags.items() if dag["catchup"]} & {"verify", "trim", "expire", "erase"}
    assert dags["drift"]["start"] == "2026-01-01T00:00:00+00:00"


def error(told: dict[str, Any], file: str) -> str:
    (found,) = [text for name, text in told["errors"].items() if name.endswith(file)]
    return " ".join(found.split())


@pytest.mark.parametrize("name", BAD)
def test_an_option_that_is_wrong_is_named_with_the_mend(told: dict[str, Any], name: str):
    option = {"six_hours": "schedules", "by_hand": "schedules"}.get(name, name)
    assert f"bad_{name}.py: timetables({option}=...) " in error(told, f"bad_{name}.py")
    assert BAD[name][1] in error(told, f"bad_{name}.py")


def test_a_project_that_cannot_be_read_says_so_and_takes_no_other_with_it(told: dict[str, Any]):
    refused = error(told, "broken/dags/project.py")
    assert f"{told['folder']}/broken/feature_repo/models.py is refused: " in refused
    assert "missing" in refused
    assert not of(told, "broken")
    assert "does not name the project: it has no project; it needs a line as `project: shop`" in error(
        told, "unnamed/dags/project.py"
    )
    assert "belongs to no project: there is no feature_repo/feature_store.yaml upward of" in error(
        told, "alone/project.py"
    )
    assert len(told["errors"]) == len(BAD) + 3
