"""Modules of a feature repository: from its own folder whatever else has their names, and nothing of others is shadowed."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from types import ModuleType

import pytest

from skewless.contract.errors import SkewlessError
from skewless.definitions.repo_modules import RepoModuleFailed, failure, load

ENTITIES = "NAME = 'customer'\n"
TABLES = """
import json
import entities
from entities import NAME
from sources.raw import PATH


def later():
    import entities as again
    from sources import raw
    import sources.raw
    import sources.raw as alias
    assert sources.raw is raw is alias
    assert again is entities
    return again.NAME, raw.PATH, json.dumps(NAME)
"""
RAW = "from entities import NAME\nfrom . import folder\nPATH = f'{folder.FOLDER}/{NAME}'\n"


def repo(folder: Path, **changed: str) -> Path:
    """A repository of modules and a package without `__init__.py`; names in `changed` have `__` for `/`."""
    files = {"entities": ENTITIES, "tables": TABLES, "sources__raw": RAW, "sources__folder": "FOLDER = 'raw'\n"}
    for name, text in (files | changed).items():
        path = folder / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def public(modules: dict[str, object]) -> dict[str, object]:
    return {name: module for name, module in modules.items() if not name.startswith("_skewless_repo_")}


def test_siblings_are_imported_by_bare_name_and_nothing_is_shadowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    stranger = tmp_path / "installed"
    stranger.mkdir()
    for name in ("entities", "tables", "sources"):
        (stranger / f"{name}.py").write_text("NAME = 'a stranger'\n")
    monkeypatch.syspath_prepend(str(stranger))

    entities = ModuleType("entities")
    monkeypatch.setitem(sys.modules, "entities", entities)
    monkeypatch.chdir(stranger)
    modules, path = dict(sys.modules), list(sys.path)
    tables = load(repo(tmp_path / "repo"), "tables")
    assert tables is not None
    assert (tables.NAME, tables.PATH) == ("customer", "raw/customer")
    assert tables.later() == ("customer", "raw/customer", '"customer"'), "an import in a function finds them too"
    assert public(sys.modules) == public(modules)
    assert sys.path == path
    assert not hasattr(entities, "NAME")
    assert not list(tmp_path.rglob("repo/**/__pycache__"))


def test_two_repositories_are_kept_apart(tmp_path: Path):
    first, second = repo(tmp_path / "a"), repo(tmp_path / "b", entities="NAME = 'other'\n")
    loaded = [load(folder, "tables") for folder in (first, second, first)]
    assert [tables.later()[0] for tables in loaded if tables is not None] == ["customer", "other", "customer"]
    assert loaded[0] is loaded[2], "an unchanged repository is executed once"


def test_a_changed_file_is_read_again_however_soon(tmp_path: Path):
    folder = repo(tmp_path)
    for name in ("second", "thirds", "fourth"):
        (folder / "entities.py").write_text(f"NAME = '{name}'\n")
        tables = load(folder, "tables")
        assert tables is not None
        assert tables.later()[0] == name
    (folder / "added.py").write_text("from tables import NAME\n")
    added = load(folder, "added")
    assert added is not None
    assert added.NAME == "fourth"
    (folder / "entities.py").unlink()
    with pytest.raises(
        RepoModuleFailed, match=r"tables\.py, line 3 .*: ModuleNotFoundError: No module named 'entities'"
    ):
        load(folder, "tables")


def test_a_package_with_an_init_and_relative_imports(tmp_path: Path):
    folder = repo(tmp_path, tables__orders="from ..entities import NAME\nfrom . import SHOP\n")
    (folder / "tables" / "__init__.py").write_text("SHOP = 'shop'\nfrom .orders import NAME\n")
    package, module = load(folder, "tables"), load(folder, "tables.orders")
    assert package is not None
    assert module is not None
    assert (package.NAME, module.SHOP) == ("customer", "shop"), "a package is preferred to a module, as in Python"


def test_what_the_repository_lacks_is_none(tmp_path: Path):
    (tmp_path / "models").mkdir()
    assert load(tmp_path, "models") is None
    assert load(tmp_path / "nowhere", "models") is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("x = 1\nno_such_name\n", r"{repo}/tables.py, line 2 (`no_such_name`): NameError: name 'no_such_name' is not"),
        ("x = 1\nx = (\n", r"{repo}/tables.py, line 2: SyntaxError: '(' was never closed"),
        ("from entities import nothing", r"{repo}/tables.py, line 1 (`from entities import nothing`): ImportError: "),
        ("import sources.nothing", r"(`import sources.nothing`): ModuleNotFoundError: No module named 'sources.nothing'"),
        ("import sources.broken", r"{repo}/sources/broken.py, line 1 (`1 / 0`): ZeroDivisionError: division by zero"),
        ("b'\\xff'.decode()", r"{repo}/tables.py, line 1"),
    ],
)  # fmt: skip
def test_an_error_names_file_and_line(tmp_path: Path, text: str, reason: str):
    folder = repo(tmp_path, tables=text, sources__broken="1 / 0\n")
    for _ in range(2):
        with pytest.raises(RepoModuleFailed) as failed:
            load(folder, "tables")
        assert reason.format(repo=tmp_path) in str(failed.value)
        assert str(failed.value).startswith(f"{tmp_path}/tables.py cannot be loaded: ")
        assert "_skewless_repo_" not in str(failed.value)


def test_the_projects_own_errors_pass(tmp_path: Path):
    raising = "from skewless.contract.errors import SkewlessError\nraise SkewlessError('no raw data')\n"
    with pytest.raises(SkewlessError, match=r"^no raw data$"):
        load(repo(tmp_path, tables=raising), "tables")


def test_an_error_of_a_function_names_its_line(tmp_path: Path):
    tables = load(repo(tmp_path, tables="def rows():\n    return {}['x']\n"), "tables")
    assert tables is not None
    with pytest.raises(KeyError) as raised:
        tables.rows()
    assert failure(raised.value, tmp_path) == f"{tmp_path}/tables.py, line 2 (`return {{}}['x']`): KeyError: 'x'"
    assert failure(KeyError("y"), tmp_path) == "KeyError: 'y'"


def test_classes_know_their_module(tmp_path: Path):
    text = "from __future__ import annotations\nfrom dataclasses import dataclass\nfrom typing import get_type_hints\n"
    text += "@dataclass\nclass Row:\n    at: Other | None = None\nclass Other: ...\nHINTS = get_type_hints(Row)\n"
    tables = load(repo(tmp_path, tables=text), "tables")
    assert tables is not None
    assert {"at": tables.Other | None} == tables.HINTS


def test_functions_import_in_threads(tmp_path: Path):
    tables = load(repo(tmp_path), "tables")
    assert tables is not None
    results: list[tuple[str, ...]] = []
    threads = [threading.Thread(target=lambda: results.append(tables.later())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert results == [("customer", "raw/customer", '"customer"')] * 8


def test_loading_needs_nothing_of_feast():
    program = "import sys; import skewless.definitions.repo_modules; print([m for m in ('feast', 'ndonnx') if m in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
