"""The generated parts of the documentation are what the code says now."""

from __future__ import annotations

import ast
import inspect
import re

import pytest

from skewless import sdk
from skewless.contract.errors import SkewlessError
from skewless.server.api.problems import STATUSES
from tests.docs.pages import DOCS, ROOT, Page, pages
from tests.docs.reference.__main__ import COMMAND, PARTS, written
from tests.docs.reference.errors import error_classes
from tests.docs.reference.python import FACADES, public_methods, result_classes

METRIC_MAKERS = {"Counter", "Gauge", "Histogram", "Summary"}


@pytest.mark.parametrize("page", PARTS, ids=str)
def test_the_generated_parts_are_current(page: Page) -> None:
    assert page.path.read_text() == written(page), f"the code says something else now: run `{COMMAND}`"


def test_every_method_and_result_of_the_python_api_is_described() -> None:
    text = (DOCS / "reference" / "python.md").read_text()
    for name, place in FACADES.items():
        kind = getattr(sdk, name)
        for method in public_methods(kind):
            assert f"### {place}.{method}" in text, f"{name}.{method}"
            described = inspect.getdoc(getattr(kind, method))
            assert described, f"{name}.{method} has no docstring"
    assert {kind.__name__ for kind in result_classes()} <= set(re.findall(r"^### (\w+)$", text, re.MULTILINE))


def test_a_part_that_is_not_marked_is_refused() -> None:
    page = Page(DOCS / "start.md")
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(PARTS, page, {"nothing": str})
        with pytest.raises(ValueError, match="no marks"):
            written(page)


def test_every_error_of_the_status_table_is_read_from_the_source() -> None:
    found = {(one.module, one.name): one for one in error_classes()}
    assert {(kind.__module__, kind.__name__) for kind in STATUSES} <= set(found)
    assert all(one.meaning and one.messages for one in found.values() if one.name not in ("InvalidBody", "BadMessage"))


def test_every_loaded_error_is_read_from_the_source() -> None:
    """What other tests have imported by now is a sample of what there is; test doubles are not ours."""
    names = {one.name for one in error_classes()}
    loaded = {kind.__name__ for kind in _below(SkewlessError) if kind.__module__.startswith("skewless.")}
    assert loaded - {SkewlessError.__name__}
    assert loaded <= names | {SkewlessError.__name__}


def test_every_metric_that_the_code_makes_is_on_the_page() -> None:
    """Names in the source are compared with the page, so that one behind a condition is not forgotten."""
    page = (DOCS / "reference" / "metrics.md").read_text()
    made = [name for folder in ("serving", "pipelines", "dags") for name in _metric_names(folder)]
    assert len(made) > 30
    missing = [name for name in made if not re.search(rf"`{name}(_total)?`", page)]
    assert not missing


def test_metrics_in_expressions_exist() -> None:
    known = set(re.findall(r"`(skewless_\w+)`", (DOCS / "reference" / "metrics.md").read_text()))
    known |= {f"{name}_bucket" for name in known}
    for page in pages():
        codes = [block.text for block in page.blocks if block.kind == "promql"]
        codes += [name for name in page.names if "(" in name]
        used = {name for code in codes for name in re.findall(r"skewless_\w+", code)}
        assert used <= known, page


def _below(kind: type) -> set[type]:
    return {kind}.union(*(_below(one) for one in kind.__subclasses__()))


def _metric_names(folder: str) -> list[str]:
    """The first arguments of Prometheus' constructors, as patterns: what a name is made of at run time is any word."""
    nodes = [
        node for path in (ROOT / folder / "skewless").rglob("*.py") for node in ast.walk(ast.parse(path.read_text()))
    ]
    calls = [node for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
    names = [_pattern(call.args[0]) for call in calls if call.func.id in METRIC_MAKERS and call.args]
    return [name for name in names if name.startswith("skewless_")]


def _pattern(name: ast.expr) -> str:
    if isinstance(name, ast.JoinedStr):
        return "".join(_pattern(part) for part in name.values)
    return str(name.value) if isinstance(name, ast.Constant) else r"\w+"
