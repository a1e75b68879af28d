"""Every verb and option of the command line, from the commands themselves."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import entry_points
from typing import Any

import typer

from skewless.server.cli import GROUP, assemble
from tests.docs.reference.markdown import one_line, table


def cli() -> str:
    app, absent = assemble(entry_points(group=GROUP))
    assert not absent, absent
    root = typer.main.get_command(app)
    parts = ["## Options before the verb", _options(root)]
    for name, command in verbs(root):
        parts += [f"## skewless {name}", _text(command), _usage(name, command), _options(command)]
    return "\n\n".join(part for part in parts if part)


def verbs(command: Any, before: str = "") -> Iterator[tuple[str, Any]]:
    """The verbs below a command, with those of its groups: `train`, `models list`, `audit` and `audit what-if`."""
    below = getattr(command, "commands", {})
    if not below or (before and command.invoke_without_command):
        yield before, command
    for name, one in below.items():
        yield from verbs(one, f"{before} {name}".strip())


def _text(command: Any) -> str:
    paragraphs = (command.help or "").replace("\b", "").split("\n\n")
    return "\n\n".join(one_line(paragraph) for paragraph in paragraphs)


def _usage(name: str, command: Any) -> str:
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    words = [one.name.upper() if one.required else f"[{one.name.upper()}]" for one in arguments]
    return f"```text\nskewless {' '.join([name, *words, '[OPTIONS]'])}\n```" if words else ""


def _options(command: Any) -> str:
    rows = []
    for one in command.params:
        if one.name == "help":
            continue
        if one.param_type_name == "argument":
            names = f"`{one.name.upper()}`"
        else:
            names = ", ".join(f"`{flag}`" for flag in (*one.opts, *one.secondary_opts))
        needed = "required" if one.required else _default(one)
        rows.append([names, needed, one_line(getattr(one, "help", ""))])
    return table(["option", "default", "meaning"], rows) if rows else ""


def _default(option: Any) -> str:
    value = option.default
    if option.is_flag if hasattr(option, "is_flag") else False:
        return "on" if value else "off"
    if value is None or value in ((), [], "") or callable(value):
        return ""
    return f"`{getattr(value, 'value', value)}`"
