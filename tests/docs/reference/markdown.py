"""Markdown, made by code."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; a pipe or a line break inside a cell does not end it."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def one_line(text: str | None) -> str:
    """A text without its line breaks."""
    return " ".join((text or "").split())


def _cell(text: str) -> str:
    return one_line(text).replace("|", "\\|") or " "
