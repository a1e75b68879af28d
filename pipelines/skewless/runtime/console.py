"""Progress of a verb: a live bar on a terminal and in a notebook, plain lines otherwise.

Held by tests/cli/test_data.py.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, Task, TextColumn, TimeElapsedColumn
from rich.text import Text

console = Console(highlight=False, soft_wrap=True)


class _CountColumn(MofNCompleteColumn):
    """Items done of the total, if the total is known."""

    def render(self, task: Task) -> Text:
        return super().render(task) if task.total is not None else Text("")


class ProgressStep:
    """One long step. `at` reports the current item; `result` is the line printed at the end."""

    def __init__(self, title: str, progress: Progress | None) -> None:
        self._title = title
        self._progress = progress
        self._task = progress.add_task(title, total=None) if progress else None
        self.result = ""

    def at(self, item: str, done: int | None = None, total: int | None = None) -> None:
        """Report work on `item`, after `done` of `total` items."""
        if self._progress is not None and self._task is not None:
            description = f"{self._title}: {item}"
            self._progress.update(self._task, description=description, completed=done, total=total)


def _live() -> bool:
    """Whether a bar can move: on a terminal, and in a notebook that has the widgets for it."""
    return console.is_terminal or (console.is_jupyter and find_spec("ipywidgets") is not None)


@contextmanager
def step(title: str, *, visible: bool = True) -> Iterator[ProgressStep]:
    """A timed step: live progress while it runs, one line when it has succeeded; nothing at all unless it is `visible`."""
    started = time.monotonic()
    if not visible:
        yield ProgressStep(title, None)
        return
    if _live():
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            _CountColumn(),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=console, transient=True) as progress:
            running = ProgressStep(title, progress)
            yield running
    else:
        running = ProgressStep(title, None)
        yield running
    console.print(f"[bold]{title:<14}[/bold] {running.result} [dim]({time.monotonic() - started:.1f} s)[/dim]")
