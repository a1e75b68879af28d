"""The wheel owns one name, and works beside a project that has packages of our folders' names."""

from __future__ import annotations

import subprocess
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

from tests.checkout import ROOT, project_version
from tests.packaging.distributions import build, top_names
from tests.packaging.installed_shop import InstalledShop
from tests.packaging.interpreters import VERSIONS, interpreters

# Children that import Feast, Airflow or mypy take many seconds each.
pytestmark = pytest.mark.timeout(900)
CODE = [ROOT / folder / "skewless" for folder in ("serving", "pipelines", "dags")]
ROOMS = {room.name for folder in CODE for room in folder.iterdir() if (room / "__init__.py").exists()}
DAG_BAG = """
import sys
import airflow.sdk
from airflow.dag_processing.dagbag import DagBag
import skewless.airflow

bag = DagBag("dags", bundle_name="dags-folder")
assert not bag.import_errors, bag.import_errors
(mail,) = bag.dags["shop_mail"].tasks
print(sorted(bag.dags), mail.task_id, list(skewless.airflow.__path__))
"""
TYPED = "from skewless.contract.plan import JoinKey\n\nkey: int = JoinKey('customer', 'customer', 'Int64').name\n"


@pytest.fixture(scope="module")
def shop(wheel: Path, redis_server, tmp_path_factory: pytest.TempPathFactory) -> InstalledShop:
    made = InstalledShop.make(tmp_path_factory.mktemp("installed"), wheel, redis_server.url)
    made.skewless("apply")
    made.skewless("materialize")
    return made


def test_the_wheel_owns_one_name(wheel: Path):
    assert top_names(wheel) == {"skewless"}


def test_the_wheel_holds_what_the_code_is_made_of_and_nothing_else(wheel: Path):
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if name.startswith("skewless/")}
    files = {
        f"skewless/{file.relative_to(folder)}"
        for folder in CODE
        for file in folder.rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    assert packed == files
    assert {Path(name).suffix for name in packed} == {".py", ".html", ".j2", ".typed"}
    assert "skewless/__init__.py" not in packed, "a namespace of three folders"


def test_each_room_says_that_it_is_typed(wheel: Path):
    with zipfile.ZipFile(wheel) as archive:
        typed = {name.split("/")[1] for name in archive.namelist() if name.endswith("/py.typed")}
    assert typed == ROOMS


def test_a_type_checker_reads_the_types_of_the_wheel(shop: InstalledShop):
    (shop.project / "typed.py").write_text(TYPED)
    script = "import sys; from mypy.api import run; out, err, status = run(sys.argv[1:]); print(out, err)"
    cache = str(shop.environment / "mypy")
    told = shop.run(shop.python, "-c", script, "--strict", "--cache-dir", cache, "typed.py")
    assert 'Incompatible types in assignment (expression has type "str", variable has type "int")' in told
    assert "Found 1 error in 1 file" in told, "and nothing of missing stubs"


def test_the_verbs_run_from_the_projects_folder(shop: InstalledShop):
    told = shop.skewless("status")
    assert f"definitions   {shop.project / 'feature_repo'}" in told
    assert "last run done" in told
    assert shop.skewless("--version") == f"skewless {project_version()}\n"


def test_it_is_the_wheel_that_runs(shop: InstalledShop):
    script = "import skewless, skewless.contract; print(skewless.contract.__file__, *skewless.__path__, sep='\\n')"
    home = shop.site_packages / "skewless"
    assert shop.run(shop.python, "-c", script).split() == [str(home / "contract" / "__init__.py"), str(home)]


def test_a_notebook_beside_the_projects_own_packages_reads_both_stores(shop: InstalledShop):
    told = shop.run(shop.python, "-W", "ignore", "notebook.py").splitlines()
    assert told[-4:] == [
        f"skewless: ['{shop.site_packages / 'skewless'}']",
        "total [10.0, 1.0] [10.0, 1.0]",
        "items [4.0, 3.0] [4.0, 3.0]",
        "price_per_item [2.5, 0.3333333432674408] [2.5, 0.3333333432674408]",
    ]


def test_a_dag_file_of_the_project_is_made_of_our_parts(shop: InstalledShop):
    home = shop.environment / "airflow"
    variables = {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "false",
        "AIRFLOW__CORE__DAGS_FOLDER": str(shop.project / "dags"),
        "PYTHONPATH": str(shop.project),
    }
    told = shop.run(shop.python, "-W", "ignore", "-c", DAG_BAG, **variables).splitlines()[-1]
    assert told == f"['shop_mail', 'shop_materialize'] mail ['{shop.site_packages / 'skewless' / 'airflow'}']"


def test_the_source_distribution_holds_what_the_wheel_is_built_from(tmp_path: Path):
    with tarfile.open(build("sdist", tmp_path)) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    code = {
        str(file.relative_to(ROOT))
        for folder in CODE
        for file in folder.rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    timetables = {str(file.relative_to(ROOT)) for file in (ROOT / "dags").glob("*.py")} | {"dags/.airflowignore"}
    about = {"pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "PKG-INFO", ".gitignore"}
    assert code <= names
    assert names <= code | timetables | about


def test_the_source_distribution_builds_the_same_wheel(wheel: Path, tmp_path: Path):
    with tarfile.open(build("sdist", tmp_path / "sdist")) as archive:
        archive.extractall(tmp_path / "source", filter="data")
    (source,) = (tmp_path / "source").iterdir()
    assert build("wheel", tmp_path / "wheel", source).read_bytes() == wheel.read_bytes()


@pytest.mark.parametrize(("version", "python"), interpreters().items())
def test_each_python_of_this_machine_compiles_it_without_a_warning(
    wheel: Path, tmp_path: Path, version: str, python: Path
):
    """The whole install on each is `make release`, which needs what each Python's own wheels weigh."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    command = [python, "-W", "error", "-m", "compileall", "-q", "-f", tmp_path]
    compiled = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (compiled.returncode, compiled.stdout + compiled.stderr) == (0, "")
    assert any(tmp_path.rglob(f"*.cpython-{version.replace('.', '')}.pyc"))


def test_the_classifiers_name_the_pythons_that_are_tried():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = {line.rpartition(" :: ")[2] for line in project["classifiers"] if " :: Python :: 3." in line}
    assert named == set(VERSIONS)
    assert project["requires-python"] == f">={VERSIONS[0]}"
