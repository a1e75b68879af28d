"""Progress reports of long work: a callback, so that only the edges display it.

Held by tests/offline/tables/test_ingest.py.
"""

from __future__ import annotations

from collections.abc import Callable

Report = Callable[[str, int, int], None]
"""Called before each item with its name, how many items are done and how many there are."""


def quiet(item: str, done: int, total: int) -> None:
    """Report nothing."""
