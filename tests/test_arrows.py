"""The arrows between rooms are lint, and each contract refuses what it forbids."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.checkout import ROOT

FOLDERS = ("serving", "pipelines", "dags", "feature_repo")
ROOMS = "rooms import what lies below them"
CONTRACT_ROOMS = "inside the contract: rollout -> storage -> model -> plan and values"
SERVER_ROOMS = "inside the server: app -> api -> rollout, push -> predict -> online store, decode, metrics"
OFFLINE_ROOMS = "inside offline: join -> tables -> values, files"
ONLINE_ROOMS = "inside online: push, maintenance -> materialization -> store"
MODEL_ROOMS = "inside model: scoring, publishing -> training -> conversion, distributions"
MONITORING_ROOMS = "inside monitoring: retraining, reports -> audit, drift, quality -> served log"
SERVER_ALONE = "the server knows only the contract, files, registry and settings"
NO_SERVER = "nothing that makes data knows the server"
PURE = "the contract knows no web, network, database, dataframe or Feast"
DEFINITIONS = "nobody imports a definition"
EXAMPLE = "nothing imports the example"
CONTRACT = "serving/skewless/contract"
REGISTRY = "serving/skewless/registry"
FILES = "serving/skewless/files"
SERVER = "serving/skewless/server"
SETTINGS = "serving/skewless/settings"
PIPELINES = "pipelines/skewless"


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    """The linter on the tree in `folder`: its own copy of the rooms is what is imported, not the checkout's."""
    command = [sys.executable, "-c", LINT, *(str(folder / name) for name in FOLDERS), str(folder)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


LINT = """
import sys
folders = sys.argv[1:]
sys.path[:] = [*folders, *(path for path in sys.path if not path.endswith(("/serving", "/pipelines", "/dags")))]
from importlinter.cli import lint_imports_command
lint_imports_command(["--no-cache", "--no-logo"])
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the whole tree, to add imports to."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def test_the_tree_keeps_every_arrow():
    done = lint(ROOT)
    assert done.returncode == 0, done.stdout


def test_the_allowed_arrows_are_allowed(tree: Path):
    add(tree, f"{PIPELINES}/offline/join/spine.py", "from skewless.state import database")
    add(tree, f"{PIPELINES}/erasure/erase.py", "from skewless.monitoring.audit import audit as _audit")
    add(tree, f"{SERVER}/app.py", "from skewless.contract import errors")
    add(tree, f"{SERVER}/app.py", "from skewless.files import durable")
    add(tree, f"{SERVER}/app.py", "from skewless.registry import bundle_folder")
    add(tree, "dags/skewless/airflow/window.py", "from skewless.monitoring.drift import drift")
    done = lint(tree)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("module", "line", "broken"),
    [
        (f"{CONTRACT}/errors.py", "from skewless.runtime import errors as _errors", ROOMS),
        (f"{CONTRACT}/state_folder.py", "from skewless.settings import process_environment", ROOMS),
        (f"{SETTINGS}/environment_settings.py", "from skewless.runtime import errors as _errors", ROOMS),
        (f"{SETTINGS}/environment_settings.py", "from skewless.server import logs", NO_SERVER),
        (f"{CONTRACT}/errors.py", "from skewless.files import durable", ROOMS),
        (f"{FILES}/durable.py", "from skewless.settings import process_environment", ROOMS),
        (f"{FILES}/durable.py", "from skewless.registry import bundle_cache", ROOMS),
        (f"{CONTRACT}/model/bundle.py", "from skewless.registry import bundle_folder", ROOMS),
        (f"{REGISTRY}/bundle_cache.py", "from skewless.runtime import errors as _errors", ROOMS),
        (f"{PIPELINES}/runtime/errors.py", "from skewless.state import database", ROOMS),
        (f"{PIPELINES}/state/database.py", "from skewless.offline.tables import append", ROOMS),
        (f"{PIPELINES}/offline/tables/append.py", "def late():\n    from skewless.online.push import push", ROOMS),
        (f"{PIPELINES}/online/push/push.py", "from skewless.feast import errors as _errors", ROOMS),
        (f"{PIPELINES}/online/push/push.py", "from skewless.definitions import compiler", ROOMS),
        (f"{PIPELINES}/html/table.py", "from skewless.definitions import compiler", ROOMS),
        (f"{PIPELINES}/feast/errors.py", "from skewless.project import project", ROOMS),
        (f"{PIPELINES}/project/project.py", "from skewless.feast import errors as _errors", ROOMS),
        (f"{PIPELINES}/project/project.py", "from skewless.model.training import train", ROOMS),
        (f"{PIPELINES}/model/training/train.py", "from skewless.monitoring.drift import drift", ROOMS),
        (f"{PIPELINES}/monitoring/drift/drift.py", "from skewless.erasure import subject", ROOMS),
        (f"{PIPELINES}/erasure/subject.py", "from skewless.sdk import session", ROOMS),
        (f"{PIPELINES}/sdk/session.py", "from skewless.cli import audit", ROOMS),
        (f"{PIPELINES}/sdk/session.py", "from skewless.server import logs", NO_SERVER),
        (f"{PIPELINES}/cli/audit.py", "from skewless.airflow import window", ROOMS),
        ("dags/skewless/airflow/window.py", "from skewless.local_airflow import stack", ROOMS),
        (f"{CONTRACT}/plan.py", "from skewless.contract.model import signature", CONTRACT_ROOMS),
        (f"{CONTRACT}/model/signature.py", "from skewless.contract.storage import packed_row", CONTRACT_ROOMS),
        (f"{CONTRACT}/storage/catalog.py", "from skewless.contract.rollout import rollout", CONTRACT_ROOMS),
        (f"{SERVER}/metrics/counters.py", "from skewless.server.predict import predictor", SERVER_ROOMS),
        (f"{SERVER}/predict/predictor.py", "from skewless.server.rollout import router", SERVER_ROOMS),
        (f"{SERVER}/push/receiver.py", "from skewless.server.api import body", SERVER_ROOMS),
        (f"{SERVER}/api/body.py", "from skewless.server import app", SERVER_ROOMS),
        (f"{PIPELINES}/offline/tables/append.py", "from skewless.offline.join import spine", OFFLINE_ROOMS),
        (f"{PIPELINES}/offline/values/packing.py", "from skewless.offline.tables import append", OFFLINE_ROOMS),
        (f"{PIPELINES}/offline/values/packing.py", "from skewless.offline.files import parquet_reader", OFFLINE_ROOMS),
        (f"{PIPELINES}/online/store/connection.py", "from skewless.online.materialization import windows", ONLINE_ROOMS),
        (f"{PIPELINES}/online/push/push.py", "from skewless.online.maintenance import verify", ONLINE_ROOMS),
        (f"{PIPELINES}/model/training/train.py", "from skewless.model.publishing import publish", MODEL_ROOMS),
        (f"{PIPELINES}/model/scoring/batch_score.py", "from skewless.model.publishing import publish", MODEL_ROOMS),
        (f"{PIPELINES}/monitoring/audit/audit.py", "from skewless.monitoring.reports import files", MONITORING_ROOMS),
        (f"{PIPELINES}/monitoring/served_log/days.py", "from skewless.monitoring.audit import audit", MONITORING_ROOMS),
        (f"{SERVER}/app.py", "from skewless.offline.tables import append", SERVER_ALONE),
        (f"{SERVER}/app.py", "def late():\n    import feast", SERVER_ALONE),
        (f"{PIPELINES}/online/store/connection.py", "import skewless.server.cli", NO_SERVER),
        (f"{CONTRACT}/errors.py", "from skewless.server import logs", NO_SERVER),
        (f"{FILES}/durable.py", "from skewless.server import logs", NO_SERVER),
        (f"{REGISTRY}/bundle_cache.py", "from skewless.server import logs", NO_SERVER),
        *[
            (f"{CONTRACT}/errors.py", f"import {name}", PURE)
            for name in (
                "airflow", "duckdb", "fastapi", "feast", "pandas", "polars", "redis", "sqlalchemy", "starlette",
                "tempfile", "time", "uuid", "uvicorn",
            )
        ],
        (f"{PIPELINES}/cli/audit.py", "def late():\n    from skewless.demo import skew_price", EXAMPLE),
        (f"{PIPELINES}/demo/cli.py", "from skewless.local_airflow import stack", ROOMS),
        ("dags/skewless/local_airflow/stack.py", "from skewless.demo import demo", EXAMPLE),
        (f"{SERVER}/app.py", "from skewless.demo import skew_price", EXAMPLE),
        (f"{SERVER}/app.py", "from feature_repo import entities", DEFINITIONS),
        (f"{PIPELINES}/definitions/compiler.py", "import feature_repo.entities", DEFINITIONS),
        ("dags/skewless/airflow/window.py", "from feature_repo.entities import aircraft", DEFINITIONS),
    ],
)  # fmt: skip
def test_a_forbidden_import_is_refused(tree: Path, module: str, line: str, broken: str):
    add(tree, module, line)
    done = lint(tree)
    assert done.returncode == 1, done.stderr
    assert f"{broken} BROKEN" in " ".join(done.stdout.split()), done.stdout


def add(tree: Path, module: str, line: str) -> None:
    assert (tree / module).is_file()
    with (tree / module).open("a") as file:
        file.write(f"\n{line}\n")
