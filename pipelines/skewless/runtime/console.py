"""What a verb shows while it works: a live bar on a terminal, plain lines otherwise.

Held by tests/cli/test_data.py.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, Task, TextColumn, TimeElapsedColumn
from rich.text import Text

console = Console(highlight=False, soft_wrap=True)


class _CountColumn(MofNCompleteColumn):
    """Items done of items in all, where somebody knows how many there are."""

    def render(self, task: Task) -> Text:
        return super().render(task) if task.total is not None else Text("")


class ProgressStep:
    """One long step. `at` moves it on to the next item; `result` is the line that stays."""

    def __init__(self, title: str, progress: Progress | None) -> None:
        self._title = title
        self._progress = progress
        self._task = progress.add_task(title, total=None) if progress else None
        self.result = ""

    def at(self, item: str, done: int | None = None, total: int | None = None) -> None:
        """Working on `item`, the one after `done` of `total` items."""
        if self._progress is not None and self._task is not None:
            said = f"{self._title}: {item}"
            self._progress.update(self._task, description=said, completed=done, total=total)


@contextmanager
def step(title: str) -> Iterator[ProgressStep]:
    """A step that is timed and told of: live while it runs, one line when it has ended well."""
    started = time.monotonic()
    if console.is_terminal:
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
