"""Where the test of a module lies, and what tests may import: helper modules and never another test."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.checkout import ROOT

A_TEST = re.compile(r"tests(\.\w+)*\.(test_\w+|conftest)\b|from tests[\w.]* import (\w+, )*(test_\w+|conftest)\b")
"""The dotted name of a test module or of a conftest, or an import of it; in a program as text too."""
HELD_BY = re.compile(r"Held by (tests/[\w/]+\.py)\.")
"""What the docstring of a module says whose test does not lie where the module's name says."""


def expected_test(module: Path, source: str) -> str | None:
    """The test of a module, of which `module` is the path below a folder `skewless`; None for one without functions.

    Its docstring may name another file than the mirrored one, but not where that one is there.
    """
    tree = ast.parse(source)
    if not any(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) for node in ast.walk(tree)):
        return None
    mirrored = f"tests/{module.with_name('test_' + module.name).as_posix()}"
    named = HELD_BY.search(ast.get_docstring(tree) or "")
    if named is None or (ROOT / mirrored).exists():
        return mirrored
    return named[1]


def test_each_module_has_a_test():
    untested = {}
    for layer in ("serving", "pipelines", "dags"):
        for path in sorted((ROOT / layer / "skewless").rglob("*.py")):
            test = expected_test(path.relative_to(ROOT / layer / "skewless"), path.read_text())
            if path.name != "__init__.py" and test is not None and not (ROOT / test).exists():
                untested[path.relative_to(ROOT).as_posix()] = test
    assert not untested, "write that test, or say in the module's docstring `Held by tests/....py.`"


def test_each_test_that_a_docstring_names_is_there():
    named = {
        (path.relative_to(ROOT).as_posix(), test)
        for layer in ("serving", "pipelines", "dags", "feature_repo")
        for path in sorted((ROOT / layer).rglob("*.py"))
        for test in HELD_BY.findall(path.read_text())
    }
    assert named
    assert not {(module, test) for module, test in named if not (ROOT / test).exists()}


def test_a_docstring_names_another_test_only_where_the_mirrored_one_is_missing():
    function = "def f(): ..."
    named = f'"""It.\n\nHeld by tests/cli/test_data.py.\n"""\n{function}'
    assert expected_test(Path("room/new.py"), function) == "tests/room/test_new.py"
    assert expected_test(Path("room/new.py"), named) == "tests/cli/test_data.py"
    assert expected_test(Path("cli/test_push.py"), "X = 1") is None
    assert expected_test(Path("cli/push.py"), named) == "tests/cli/test_push.py"


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
