"""The function that makes a project's tables: loaded from its folder, and told plainly where that cannot be."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from skewless.contract.errors import SkewlessError
from skewless.project.ingest_function import BadIngestFunction, IngestNotDeclared, load, tables
from skewless.project.model_specs import ProjectSpecs

ORDERS = """
from skewless.offline.tables.ingest import IngestTable

from .raw import NAME


def tables(name: str = NAME):
    return [IngestTable(name, ("customer",), lambda start, end: [])]
"""


def project(
    repo: Path, orders: str = ORDERS, *, raw: str = "NAME = 'orders'", ingest: str | None = "tables.orders:tables"
):
    (repo / "tables").mkdir(parents=True, exist_ok=True)
    (repo / "tables" / "orders.py").write_text(orders)
    (repo / "tables" / "raw.py").write_text(raw)
    return ProjectSpecs(repo / "models.yaml", ingest)


def test_it_is_loaded_by_path_with_its_siblings(tmp_path: Path):
    path, modules = list(sys.path), set(sys.modules)
    specs = project(tmp_path)
    assert [(table.name, table.keys) for table in tables(specs)] == [("orders", ("customer",))]
    assert [table.name for table in load(specs)(name="mistaken")] == ["mistaken"], "a project may give it arguments"
    assert sys.path == path
    assert {"tables", "orders", "raw"}.isdisjoint(set(sys.modules) - modules), "no module of others is shadowed"


def test_projects_beside_each_other_and_new_versions_are_kept_apart(tmp_path: Path):
    first, second = project(tmp_path / "a"), project(tmp_path / "b", raw="NAME = 'others'")
    assert [tables(specs)[0].name for specs in (first, second, first)] == ["orders", "others", "orders"]
    project(tmp_path / "a", raw="NAME = 'renamed, and longer'")
    assert tables(first)[0].name == "renamed, and longer"


def test_a_folder_inside_a_folder_and_a_module_beside_the_definitions(tmp_path: Path):
    deep = tmp_path / "made" / "daily"
    deep.mkdir(parents=True)
    (deep / "orders.py").write_text("def tables(): return []")
    (tmp_path / "orders.py").write_text("def tables(): return []")
    for ingest in ("made.daily.orders:tables", "orders:tables"):
        assert tables(ProjectSpecs(tmp_path / "models.yaml", ingest)) == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"ingest": "tables.order:tables"}, "there is no {repo}/tables/order.py"),
        ({"ingest": "tables.orders:table"}, "{repo}/tables/orders.py has no function 'table'"),
        ({"raw": "NAME = 1 / 0"}, "{repo}/tables/raw.py, line 1 (`NAME = 1 / 0`): ZeroDivisionError: division by zero"),
        (
            {"raw": "import no_such_package"},
            "{repo}/tables/raw.py, line 1 (`import no_such_package`): ModuleNotFoundError: No module named 'no_such",
        ),
        ({"raw": "NAME ="}, "SyntaxError: invalid syntax"),
        (
            {"orders": "def tables(): return 7"},
            "it does not return a list of skewless.offline.tables.ingest.IngestTable",
        ),
        ({"orders": "def tables(): return ['orders']"}, "it does not return a list of skewless.offline.tables.ingest."),
    ],
)
def test_what_cannot_be_used_is_told_with_its_place(tmp_path: Path, change: dict[str, str], reason: str):
    specs = project(tmp_path, **change)
    with pytest.raises(BadIngestFunction) as bad:
        tables(specs)
    where = f"`ingest: {specs.ingest}` of {tmp_path}/models.yaml cannot be used: "
    assert str(bad.value).startswith(where)
    assert reason.format(repo=tmp_path) in str(bad.value)


def test_the_projects_own_errors_pass(tmp_path: Path):
    raising = (
        "from skewless.contract.errors import SkewlessError\n\n\ndef tables():\n    raise SkewlessError('no raw data')"
    )
    with pytest.raises(SkewlessError, match=r"^no raw data$"):
        tables(project(tmp_path, raising))


def test_where_no_function_is_declared_the_mend_is_told(tmp_path: Path):
    with pytest.raises(
        IngestNotDeclared, match=r"models\.yaml declares no ingest function; write `ingest: MODULE:FUNCTION`"
    ):
        tables(project(tmp_path, ingest=None))
