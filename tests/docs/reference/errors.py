"""Every error that the project raises on purpose, read from the source: meaning, message, status, retry."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from skewless.server.api.problems import STATUSES
from tests.checkout import ROOT
from tests.docs.reference.markdown import one_line, table

ROOT_ERROR = "SkewlessError"
FOLDERS = ("serving", "pipelines", "dags")


@dataclass(frozen=True)
class ErrorClass:
    """An error class as its source has it. `retry`: whether trying again may help."""

    module: str
    name: str
    meaning: str
    messages: tuple[str, ...]
    retry: bool


def errors() -> str:
    statuses = {(kind.__module__, kind.__name__): int(status) for kind, (status, _) in STATUSES.items()}
    parts = []
    rooms: dict[str, list[ErrorClass]] = {}
    for one in error_classes():
        rooms.setdefault(".".join(one.module.split(".")[:2]), []).append(one)
    for room, found in sorted(rooms.items()):
        parts.append(f"## {room}")
        rows = []
        for one in sorted(found, key=lambda error: error.name):
            status = statuses.get((one.module, one.name))
            says = " *or* ".join(f"“{_plain(message)}”" for message in one.messages)
            rows.append([f"`{one.name}`", one.meaning, says, str(status or ""), "yes" if one.retry else ""])
        parts.append(table(["error", "meaning", "what it says", "HTTP", "retry"], rows))
    return "\n\n".join(parts)


def _plain(message: str) -> str:
    """A message as Markdown shows it: nothing in it is markup."""
    return re.sub(r"([*_<\[\]])", r"\\\1", message)


@cache
def error_classes() -> tuple[ErrorClass, ...]:
    """The subclasses of our root error, directly or not."""
    found = [(module, node) for module, tree in _sources() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    names, before = {ROOT_ERROR}, 0
    while len(names) > before:
        before = len(names)
        names |= {node.name for _, node in found if names & set(_bases(node))}
    ours = [(module, node) for module, node in found if names & set(_bases(node))]
    inherited = {node.name: node for _, node in ours}
    return tuple(_read(module, node, inherited) for module, node in ours)


def _sources() -> Iterator[tuple[str, ast.Module]]:
    for folder in FOLDERS:
        for path in sorted((ROOT / folder / "skewless").rglob("*.py")):
            module = ".".join(path.relative_to(ROOT / folder).with_suffix("").parts)
            yield module, ast.parse(Path(path).read_text())


def _bases(node: ast.ClassDef) -> list[str]:
    return [base.id if isinstance(base, ast.Name) else getattr(base, "attr", "") for base in node.bases]


def _read(module: str, node: ast.ClassDef, inherited: dict[str, ast.ClassDef]) -> ErrorClass:
    parents = [inherited[name] for name in _bases(node) if name in inherited]
    lines = [node, *parents]
    text = next((body for one in lines if (body := _method(one, "__str__"))), None)
    returned = [one.value for one in ast.walk(text) if isinstance(one, ast.Return)] if text else []
    messages = tuple(dict.fromkeys(one_line(_template(value)) for value in returned if value))
    return ErrorClass(module, node.name, one_line(ast.get_docstring(node)), messages, any(map(_transient, lines)))


def _method(node: ast.ClassDef, name: str) -> ast.FunctionDef | None:
    return next((one for one in node.body if isinstance(one, ast.FunctionDef) and one.name == name), None)


def _transient(node: ast.ClassDef) -> bool:
    for one in node.body:
        targets = one.targets if isinstance(one, ast.Assign) else [one.target] if isinstance(one, ast.AnnAssign) else []
        if any(isinstance(target, ast.Name) and target.id == "transient" for target in targets):
            return isinstance(one.value, ast.Constant) and one.value.value is True  # type: ignore[union-attr]
    return False


def _template(value: ast.expr) -> str:
    """The text of a string expression, its fields in braces."""
    if isinstance(value, ast.Constant):
        return str(value.value).replace("`", "'")
    if isinstance(value, ast.JoinedStr):
        return "".join(_template(part) for part in value.values)
    if isinstance(value, ast.FormattedValue):
        return "{" + _field(value.value) + "}"
    if isinstance(value, ast.BinOp):
        return _template(value.left) + _template(value.right)
    return "{" + _field(value) + "}"


def _field(value: ast.expr) -> str:
    """What a formatted expression is about: a field of the error, else a local name."""
    nodes = list(ast.walk(value))
    fields = [one.attr for one in nodes if isinstance(one, ast.Attribute) and _is_self(one.value)]
    names = [one.id for one in nodes if isinstance(one, ast.Name) and one.id != "self"]
    return next(iter([*fields, *names]), "...")


def _is_self(value: ast.expr) -> bool:
    return isinstance(value, ast.Name) and value.id == "self"
