"""The Python API: every public method and result, from the source of `skewless.sdk`."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from importlib import import_module

from skewless import sdk
from skewless.contract.errors import SkewlessError

_WIDTH = 100
FACADES = {"Project": "project", "ModelRollouts": "project.models", "OnlineStoreVerbs": "project.store"} | {
    "HousekeepingVerbs": "project.housekeeping"
}
"""The classes whose methods are verbs, as a program writes them."""


def python() -> str:
    return "\n\n".join(part for name, written in FACADES.items() for part in _facade(getattr(sdk, name), written))


def results() -> str:
    return "\n\n".join(part for kind in result_classes() for part in _result(kind))


def result_classes() -> list[type]:
    """What the verbs return, in the order of their names."""
    exported = [getattr(sdk, name) for name in sdk.__all__ if name not in FACADES]
    return [kind for kind in exported if not issubclass(kind, SkewlessError)]


def public_methods(kind: type) -> list[str]:
    """The names of a class's public methods and properties, its own and those of its bases."""
    return [name for name in dir(kind) if not name.startswith("_")]


def _facade(kind: type, written: str) -> Iterator[str]:
    yield f"## {written}"
    yield _text(inspect.getdoc(kind))
    for node in _definitions(kind):
        if _is_property(node):
            yield f"### {written}.{node.name}"
        else:
            yield f"### {written}.{node.name}()"
            yield _signature(node, written)
        yield _text(ast.get_docstring(node))


def _result(kind: type) -> Iterator[str]:
    yield f"### {kind.__name__}"
    yield _text(inspect.getdoc(kind))
    lines = [f"{node.target.id}: {ast.unparse(node.annotation)}" for node in _fields(kind)]
    lines += [
        f"{node.name}: {ast.unparse(node.returns)}"
        for node in _definitions(kind)
        if _is_property(node) and node.returns
    ]
    lines += [
        f"{node.name}() -> {ast.unparse(node.returns)}"
        for node in _definitions(kind)
        if not _is_property(node) and node.returns and node.name not in {"lines", "tables"}
    ]
    yield "```py\n" + "\n".join(lines) + "\n```"


def _tree(kind: type) -> ast.ClassDef:
    tree = ast.parse(inspect.getsource(import_module(kind.__module__)))
    return next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == kind.__name__)


def _definitions(kind: type) -> Iterator[ast.FunctionDef]:
    """The public functions of a class and of its bases, as written; those of the class first."""
    for place in kind.__mro__:
        if place.__module__.startswith("skewless.sdk"):
            yield from (
                node
                for node in _tree(place).body
                if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
            )


def _fields(kind: type) -> Iterator[ast.AnnAssign]:
    for node in _tree(kind).body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and not node.target.id.startswith("_"):
            yield node


def _is_property(node: ast.FunctionDef) -> bool:
    return any("property" in ast.unparse(decorator) for decorator in node.decorator_list)


def _signature(node: ast.FunctionDef, written: str) -> str:
    returned = ast.unparse(node.returns) if node.returns else "None"
    written = "Project" if any(ast.unparse(one) == "classmethod" for one in node.decorator_list) else written
    parts = list(_parts(node.args))
    call = f"{written}.{node.name}({', '.join(parts)}) -> {returned}"
    if len(call) > _WIDTH:
        call = f"{written}.{node.name}(\n" + "".join(f"    {part},\n" for part in parts) + f") -> {returned}"
    return f"```py\n{call}\n```"


def _parts(arguments: ast.arguments) -> Iterator[str]:
    """Each argument with its type and default, and the star between them."""
    defaults = [None] * (len(arguments.args) - len(arguments.defaults)) + list(arguments.defaults)
    for one, default in zip(arguments.args, defaults, strict=True):
        if one.arg not in {"self", "cls"}:
            yield _argument(one, default)
    if arguments.kwonlyargs:
        yield "*"
    for one, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        yield _argument(one, default)


def _argument(one: ast.arg, default: ast.expr | None) -> str:
    return ast.unparse(one) + (f" = {ast.unparse(default)}" if default is not None else "")


def _text(docstring: str | None) -> str:
    paragraphs = (docstring or "").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
