"""The caps of the house that no linter of ours knows."""

from __future__ import annotations

import ast
import subprocess
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.checkout import ROOT

PACKAGES = ("serving", "pipelines", "dags", "feature_repo")
FILE_LINES, FILE_LINES_HARD, FUNCTION_LINES = 300, 400, 40
MODULES_A_FOLDER = 20
# Words of a sentence, not names: what is it that was told, asked, found?
DIALECT = {"told", "tell", "who", "asked", "found", "held", "made", "one", "shown", "taken"}
FIELD_TERMS = {
    "held_out",  # machine learning's: rows that training did not see
    "held_back",  # rows that a run read and left for a later one
    "connection_made",  # asyncio's
    "_materialize_one",  # Feast's
    "_one_by_one",
}
NOT_A_NOUN = {"utils", "util", "helpers", "helper", "common", "base", "manager", "managers", "misc"}
TOP = {
    "CHANGELOG.md", "LICENSE", "Makefile", "README.md", "pyproject.toml", "uv.lock",
    "dags", "feature_repo", "infra", "pipelines", "serving", "tests",
}  # fmt: skip
READS_THE_ENVIRONMENT = {
    "serving/skewless/settings/environment_settings.py",
    "serving/skewless/settings/process_environment.py",
}


def ours() -> list[Path]:
    """Every file that git keeps or would keep."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return [Path(name) for name in sorted(set(listed.stdout.split("\0"))) if name and (ROOT / name).exists()]


def modules(*, tests: bool = False) -> Iterator[tuple[str, str]]:
    """Name and source of each Python file."""
    for path in ours():
        if path.suffix == ".py" and (path.parts[0] in PACKAGES or (tests and path.parts[0] == "tests")):
            yield path.as_posix(), (ROOT / path).read_text()


def test_files_are_short():
    lengths = {name: source.count("\n") for name, source in modules(tests=True)}
    too_long = {name: lines for name, lines in lengths.items() if lines > FILE_LINES_HARD}
    soon = {name: lines for name, lines in lengths.items() if lines > FILE_LINES}
    assert not too_long, f"over {FILE_LINES_HARD} lines; these are over {FILE_LINES}, find their second noun: {soon}"


def test_functions_are_short():
    too_long = {}
    for name, source in modules():
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = _code_lines(node)
                if lines > FUNCTION_LINES:
                    too_long[f"{name}:{node.lineno} {node.name}"] = lines
    assert not too_long, f"functions over {FUNCTION_LINES} lines: {too_long}"


def test_modules_are_named_by_a_noun():
    assert not [name for name, _ in modules(tests=True) if Path(name).stem in NOT_A_NOUN]


def test_no_folder_is_too_full():
    modules_in = Counter(Path(name).parent for name, _ in modules(tests=True) if not name.endswith("__init__.py"))
    assert not {str(folder): count for folder, count in modules_in.items() if count > MODULES_A_FOLDER}


def test_each_room_says_what_lives_there_and_what_it_imports():
    rooms = {Path(name).parent: source for name, source in modules() if name.endswith("__init__.py")}
    folders = {Path(name).parent for name, _ in modules() if "skewless" in Path(name).parts}
    assert folders <= rooms.keys()
    silent = [
        str(room) for room, source in rooms.items() if "import" not in (ast.get_docstring(ast.parse(source)) or "")
    ]
    assert not silent, f"the docstring of __init__.py does not say what may import what: {silent}"


def test_a_class_name_is_unique_in_the_source_tree():
    homes = defaultdict(list)
    for name, source in modules():
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.ClassDef):
                homes[node.name.lstrip("_")].append(name)
    assert not {name: files for name, files in homes.items() if len(files) > 1}


def test_few_class_names_are_one_word():
    names = {
        node.name for _, source in modules() for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ClassDef)
    }
    single = sorted(name for name in names if sum(letter.isupper() for letter in name) == 1)
    assert len(single) < 0.1 * len(names), f"say of what: {single}"


def test_names_are_terms_and_not_words_of_a_sentence():
    found = {
        f"{path}:{line} {name}"
        for path, source in modules()
        for name, line in [(Path(path).stem, 1), *_named(ast.parse(source))]
        if name.lstrip("_") not in {term.lstrip("_") for term in FIELD_TERMS}
        if DIALECT & set(name.strip("_").lower().split("_"))
    }
    assert not found


@pytest.mark.parametrize(
    "source",
    [
        "class Told: ...",
        "def tell_metrics(): ...",
        "async def _asked(): ...",
        "class View:\n    found: int",
        "class View:\n    def __init__(self): self.held = 1",
        "def f(made): ...",
    ],
)
def test_a_word_of_a_sentence_is_refused_as_a_name(source: str):
    assert any(DIALECT & set(name.strip("_").lower().split("_")) for name, _ in _named(ast.parse(source)))


def test_the_top_folder_holds_only_what_it_should():
    assert {path.parts[0] for path in ours() if not path.parts[0].startswith(".")} <= TOP


def test_the_environment_is_read_in_two_files():
    readers = {name for name, source in modules() if _reads_environment(ast.parse(source))}
    assert readers <= READS_THE_ENVIRONMENT


def _code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from `def` to the end, the docstring aside."""
    lines = (function.end_lineno or 0) - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function) is not None:
        lines -= (first.end_lineno or 0) - first.lineno + 1
    return lines


def _named(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """The classes, functions, parameters and attributes that a module names, with their lines."""
    for node in ast.walk(tree):
        match node:
            case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                yield node.name, node.lineno
            case ast.AnnAssign(target=ast.Name(id=name)):
                yield name, node.lineno
            case ast.Attribute(attr=name, ctx=ast.Store()):
                yield name, node.lineno
            case ast.arg(arg=name):
                yield name, node.lineno


def _reads_environment(tree: ast.Module) -> bool:
    names = {"environ", "environb", "getenv", "getenvb"}
    attributes = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    froms = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    imported = {alias.name for node in froms if node.module == "os" for alias in node.names}
    return bool(names & (attributes | imported)) or any(node.module == "pydantic_settings" for node in froms)
