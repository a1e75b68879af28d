"""Tables of a page, and numbers formatted for readers.

Held by tests/monitoring/reports/test_result_pages.py.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PageTable:
    """A table of a page: column heads, rows of formatted cells, and optionally a share for each row, drawn as a bar;
    `texts` marks a table whose cells are text, not numbers.
    """

    title: str
    about: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    shares: tuple[float, ...] = ()
    texts: bool = False


def percent(share: float) -> str:
    """A share (0 to 1) as a percentage; small shares keep significant digits."""
    if share in (0.0, 1.0):
        return f"{share:.0%}"
    if 0 < share < 0.0001:
        return "<0.01%"
    return f"{share:.2%}" if share < 0.1 else f"{share:.1%}"


def thousands(number: float) -> str:
    """A count with thousands separators."""
    return f"{number:,.0f}"
