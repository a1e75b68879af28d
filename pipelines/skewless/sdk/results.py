"""How a result is shown: as lines of text, and in a notebook as HTML; and rows that come as Arrow, pandas or Polars."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

    from skewless.html.table import PageTable

_SHOWN_ROWS = 10


class ShownResult:
    """A result that prints as its `lines` and is shown in a notebook with its `tables`."""

    __slots__ = ()

    def lines(self) -> list[str]:
        """The result as text, line by line."""
        raise NotImplementedError

    def tables(self) -> Sequence[PageTable]:
        """What a notebook shows below the lines."""
        return ()

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        from skewless.html.fragment import fragment

        return fragment(self.lines(), self.tables())


class RowsResult:
    """A result with rows, as Arrow, pandas or Polars. A notebook shows the first ten."""

    __slots__ = ()

    def lines(self) -> list[str]:
        """The result as text, line by line."""
        raise NotImplementedError

    def to_arrow(self) -> pa.Table:
        """The rows as an Arrow table."""
        raise NotImplementedError

    def to_pandas(self) -> pd.DataFrame:
        """The rows as a pandas frame; a null of a number is NaN there."""
        frame: pd.DataFrame = self.to_arrow().to_pandas()
        return frame

    def to_polars(self) -> pl.DataFrame:
        """The rows as a Polars frame. Raises: ModuleNotFoundError where Polars is not installed."""
        import polars as pl

        frame = pl.from_arrow(self.to_arrow())
        return frame if isinstance(frame, pl.DataFrame) else frame.to_frame()

    def __arrow_c_stream__(self, requested_schema: object = None) -> Any:
        """Arrow's own interface: `polars.DataFrame(result)`, DuckDB and others read the rows by it."""
        return self.to_arrow().__arrow_c_stream__(requested_schema)

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        from skewless.html.fragment import fragment
        from skewless.html.table import PageTable

        rows = self.to_arrow()
        shown = rows.slice(0, _SHOWN_ROWS).to_pylist()
        cells = tuple(tuple(_cell(row[name]) for name in rows.column_names) for row in shown)
        title = f"the first {len(shown)} of {len(rows):,} rows" if len(rows) > len(shown) else ""
        return fragment(self.lines(), [PageTable(title, "", tuple(rows.column_names), cells)])


def _cell(value: object) -> str:
    return "" if value is None else str(value)
