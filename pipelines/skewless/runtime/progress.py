"""How long work tells where it is: a callback, so that what shows it stays at the edge.

Held by tests/offline/tables/test_ingest.py.
"""

from __future__ import annotations

from collections.abc import Callable

Report = Callable[[str, int, int], None]
"""Called before each item with its name, how many items are done and how many there are."""


def quiet(item: str, done: int, total: int) -> None:
    """Tell nobody."""
