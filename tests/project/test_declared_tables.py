"""The tables that a project declares are found by their type."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from skewless.definitions.repo_modules import RepoModuleFailed
from skewless.project.declared_tables import DeclaredTables, StartNotDeclared, TablesNotDeclared, read
from skewless.project.table import BadTable

TABLES = """
from entities import CUSTOMER
from skewless.project import SqlQuery, Table


@Table("orders", keys=CUSTOMER, start="2024-01-01", end="2024-02-01")
def orders(start, end):
    return []


visits = Table("visits", keys=CUSTOMER, start="2024-01-05", rows=SqlQuery("SELECT 1 WHERE $start < $end"))
again = visits
more = [Table("refunds", keys=CUSTOMER)]
_hidden = Table("hidden", keys=CUSTOMER)
"""


def declared(folder: Path, text: str, name: str = "tables.py") -> DeclaredTables:
    (folder / "entities.py").write_text("CUSTOMER = 'customer'\n")
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text(text)
    return read(folder)


@pytest.mark.parametrize("name", ["tables.py", "tables/__init__.py"])
def test_tables_of_a_module_or_a_package(tmp_path: Path, name: str):
    found = declared(tmp_path, TABLES, name)
    assert list(found.by_name) == ["orders", "visits", "refunds"]
    assert found.path == tmp_path / name
    assert [table.name for table in found.filled()] == ["orders", "visits"]
    assert found.days() == (date(2024, 1, 1), date(2024, 2, 1))


def test_a_project_without_tables(tmp_path: Path):
    nothing = read(tmp_path)
    assert nothing.by_name == {}
    with pytest.raises(TablesNotDeclared) as refused:
        nothing.filled()
    assert str(refused.value).startswith(
        f"{tmp_path}/tables.py declares no tables; write it, with `from skewless.project"
    )
    with pytest.raises(StartNotDeclared):
        nothing.days()


def test_two_tables_of_one_name_are_refused(tmp_path: Path):
    with pytest.raises(BadTable, match=r"table 'orders' cannot be used: two tables of .*tables\.py have this name"):
        declared(tmp_path, TABLES + "\nother = Table('orders', keys=CUSTOMER)\n")


def test_a_module_that_does_not_load_is_named(tmp_path: Path):
    with pytest.raises(RepoModuleFailed, match=r"tables\.py, line 1 \(`import nothing_there`\)"):
        declared(tmp_path, "import nothing_there\n")
