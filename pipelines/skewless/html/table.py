"""Tables of a page, and numbers as people read them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PageTable:
    """A table of a page: heads, rows of told cells, and (or not) a share of each row, drawn as a bar; `texts` says that
    the cells are no numbers.
    """

    title: str
    about: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    shares: tuple[float, ...] = ()
    texts: bool = False


def percent(share: float) -> str:
    """A share for a person: small ones keep a digit that counts."""
    if share in (0.0, 1.0):
        return f"{share:.0%}"
    if 0 < share < 0.0001:
        return "<0.01%"
    return f"{share:.2%}" if share < 0.1 else f"{share:.1%}"


def whole(number: float) -> str:
    """A count with its thousands parted."""
    return f"{number:,.0f}"
