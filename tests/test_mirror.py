"""Where tests lie, and what they may import: helper modules and never another test."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.checkout import ROOT

A_TEST = re.compile(r"tests(\.\w+)*\.(test_\w+|conftest)\b|from tests[\w.]* import (\w+, )*(test_\w+|conftest)\b")
"""The dotted name of a test module or of a conftest, or an import of it; in a program as text too."""


def imported_tests(source: str) -> list[str]:
    """The tests and conftests that a module imports, names, or lets another process import."""
    found = []
    for node in ast.walk(ast.parse(source)):
        texts: list[str] = []
        if isinstance(node, ast.ImportFrom | ast.Import):
            texts = ast.unparse(node).splitlines()
            if isinstance(node, ast.ImportFrom):
                texts += [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            texts = [node.value]
        found += [match[0] for text in texts for match in A_TEST.finditer(text)]
    return found


def test_no_test_imports_a_test_or_a_conftest():
    sources = {path: path.read_text() for path in sorted((ROOT / "tests").rglob("*.py"))}
    refuted = {path.relative_to(ROOT).as_posix(): imported_tests(source) for path, source in sources.items()}
    refuted.pop(Path(__file__).relative_to(ROOT).as_posix())
    assert not {path: names for path, names in refuted.items() if names}


@pytest.mark.parametrize(
    "planted",
    [
        "from tests.x.test_y import z",
        "from tests.x.conftest import z",
        "from tests.x import test_y",
        "from tests.x import z, test_y as here",
        "import tests.x.test_y",
        "def f():\n    from tests.test_y import z",
        "PROGRAM = '''\nfrom tests.x import test_y as here\n'''",
        "killer('tests.x.test_y', 'z')",
    ],
)
def test_a_planted_import_of_a_test_is_refuted(planted: str):
    assert imported_tests(planted)


@pytest.mark.parametrize("allowed", ["from tests.x import y", "from tests.airflow import dag_test_process", "test_y()"])
def test_an_import_of_a_helper_is_allowed(allowed: str):
    assert not imported_tests(allowed)
