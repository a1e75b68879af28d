"""Tables that people wrote name everything of their kind: DAGs, causes, expectations, statuses."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from skewless.contract.admission import FeatureStatus
from skewless.definitions import expectations
from skewless.monitoring.audit.causes import SkewCause
from tests.checkout import DAGS
from tests.docs.pages import DOCS


def first_cells(name: str) -> str:
    """The first column of a page's tables."""
    text = (DOCS / name).read_text()
    return "\n".join(line.split("|")[1] for line in text.split("\n") if line.startswith("|"))


def test_every_dag_is_on_the_page_of_airflow() -> None:
    """`shop` is the project of that page, and each kind of DAG is a key of the modules that make them."""
    tree = ast.parse((DAGS / "skewless/airflow/project_dags.py").read_text())
    kinds = {str(ast.literal_eval(key)) for node in tree.body if isinstance(node, ast.AnnAssign) for key in _keys(node)}
    assert len(kinds) >= 14
    listed = first_cells("operate/airflow.md")
    assert not {kind for kind in kinds if not re.search(rf"`shop_{kind}(_<model>)?`", listed)}


def _keys(node: ast.AnnAssign) -> list[ast.expr]:
    return [key for key in node.value.keys if key] if isinstance(node.value, ast.Dict) else []


def test_every_cause_is_explained() -> None:
    listed = first_cells("guides/audit.md")
    unlisted = {cause.value for cause in SkewCause if f"`{cause.value}`" not in listed}
    assert unlisted == {SkewCause.DEFAULT_USED.value}
    assert f"`{SkewCause.DEFAULT_USED.value}`" in (DOCS / "guides" / "audit.md").read_text()


def test_every_expectation_is_explained() -> None:
    tags = set(re.findall(r'"(expect_\w+)"', Path(str(expectations.__file__)).read_text()))
    assert len(tags) >= 6
    assert tags == set(re.findall(r"`(expect_\w+)`", first_cells("guides/quality.md")))


def test_every_status_is_explained() -> None:
    listed = re.findall(r"`([A-Z_]+)`", first_cells("concepts/time.md"))
    assert set(listed) == {status.name for status in FeatureStatus}
