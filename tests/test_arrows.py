from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("serving", "pipelines", "dags", "feature_repo")

LAYERS = "when -> how -> promise -> meaning"
PROMISE_ONLY = "pipelines and dags know of serving only its contract"
SERVING_ALONE = "serving knows nothing of pipelines, dags and Feast"
PURE = "the contract knows no web, network, database, dataframe or Feast"
CONTRACT_ALONE = "the contract knows nothing of the shells around it"
DEFINITIONS = "nobody imports a definition"


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [Path(sys.executable).parent / "lint-imports", "--no-cache", "--no-logo"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the whole tree, with a module of each kind to add imports to."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("serving/shell.py", "pipelines/verb.py", "dags/table.py", "feature_repo/entities.py"):
        (tmp_path / name).touch()
    (tmp_path / "feature_repo/transforms.py").touch()
    return tmp_path


def test_the_tree_keeps_every_arrow():
    done = lint(ROOT)
    assert done.returncode == 0, done.stdout


def test_the_allowed_arrows_are_allowed(tree: Path):
    add(tree, "pipelines/verb.py", "from serving.contract import errors")
    add(tree, "dags/table.py", "from pipelines import verb")
    add(tree, "serving/shell.py", "from serving.contract import errors\nfrom feature_repo import transforms")
    add(tree, "serving/contract/errors.py", "from feature_repo import transforms")
    done = lint(tree)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("module", "line", "broken"),
    [
        ("feature_repo/transforms.py", "import serving.contract.errors", LAYERS),
        ("serving/contract/errors.py", "from pipelines import verb", LAYERS),
        ("pipelines/verb.py", "def run():\n    from dags import table", LAYERS),
        ("pipelines/verb.py", "from serving import shell", PROMISE_ONLY),
        ("pipelines/verb.py", "import serving.cli", PROMISE_ONLY),
        ("dags/table.py", "from serving.shell import x", PROMISE_ONLY),
        ("serving/shell.py", "from pipelines import verb", SERVING_ALONE),
        ("serving/shell.py", "import dags.table", SERVING_ALONE),
        ("serving/shell.py", "def late():\n    import feast", SERVING_ALONE),
        ("serving/contract/errors.py", "from serving import shell", CONTRACT_ALONE),
        *[
            ("serving/contract/errors.py", f"import {name}", PURE)
            for name in (
                "airflow", "duckdb", "fastapi", "feast", "pandas", "polars", "redis", "sqlalchemy", "starlette",
                "uvicorn",
            )
        ],
        ("serving/shell.py", "from feature_repo import entities", DEFINITIONS),
        ("pipelines/verb.py", "import feature_repo.entities", DEFINITIONS),
        ("dags/table.py", "from feature_repo.entities import aircraft", DEFINITIONS),
    ],
)  # fmt: skip
def test_a_forbidden_import_is_refused(tree: Path, module: str, line: str, broken: str):
    add(tree, module, line)
    done = lint(tree)
    assert done.returncode == 1
    assert f"{broken} BROKEN" in " ".join(done.stdout.split()), done.stdout


def add(tree: Path, module: str, line: str) -> None:
    with (tree / module).open("a") as file:
        file.write(f"\n{line}\n")
