"""The rooms of the code, each as its own `__init__.py` describes it."""

from __future__ import annotations

import ast

from tests.checkout import ROOT
from tests.docs.reference.markdown import one_line, table

FOLDERS = ("serving", "pipelines", "dags")


def rooms() -> str:
    """A row for each room; the rooms of a room follow it."""
    rows = []
    for folder in FOLDERS:
        for init in sorted((ROOT / folder / "skewless").rglob("__init__.py")):
            room = ".".join(init.relative_to(ROOT / folder).parent.parts)
            text = one_line(ast.get_docstring(ast.parse(init.read_text())))
            rows.append([f"`{room}`", f"`{folder}/`", text])
    return table(["room", "in", "what it holds, and what it may import"], rows)
