"""Results that are a few counts, as a notebook shows them: as a table.

Held by tests/sdk/test_results.py.
"""

from __future__ import annotations

from dataclasses import fields
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_CELL = '<t{0} style="text-align:right">{1}</t{0}>'


class ResultCounts:
    """A dataclass of counts. A field that is None is left out."""

    __slots__ = ()

    def _repr_html_(self: DataclassInstance) -> str:
        shown = {one.name.replace("_", " "): getattr(self, one.name) for one in fields(self)}
        cells = {name: value for name, value in shown.items() if value is not None}
        heads = "".join(_CELL.format("h", escape(name)) for name in cells)
        values = "".join(
            _CELL.format("d", escape(f"{value:,}" if isinstance(value, int) else str(value)))
            for value in cells.values()
        )
        return f"<table><thead><tr>{heads}</tr></thead><tbody><tr>{values}</tr></tbody></table>"
