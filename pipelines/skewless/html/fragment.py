"""HTML for the output of a notebook's cell: lines, tables, and whole pages in a frame of their own.

Held by tests/sdk/test_results.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from markupsafe import Markup, escape

from skewless.html.table import PageTable

_LINE = Markup('<div style="font-family:ui-monospace,Menlo,monospace;white-space:pre-wrap">{}</div>')
_NUMBER, _TEXT = Markup(' style="text-align:right"'), Markup(' style="text-align:left"')
_HEAD, _CELL = Markup("<th{}>{}</th>"), Markup("<td{}>{}</td>")
PAGE_HEIGHT = 620
"""Pixels of a page's frame; it scrolls."""


def fragment(lines: Iterable[str], tables: Sequence[PageTable] = ()) -> str:
    """Lines, then tables, with no style beyond themselves."""
    return str(Markup("").join([*(_LINE.format(line) for line in lines), *map(_table, tables)]))


def _table(table: PageTable) -> Markup:
    side = _TEXT if table.texts else _NUMBER
    heads = _row(_HEAD, table.columns, side)
    rows = Markup("").join(_row(_CELL, row, side) for row in table.rows)
    caption = Markup("<caption>{}</caption>").format(table.title) if table.title else Markup("")
    return Markup("<table>{}<thead>{}</thead><tbody>{}</tbody></table>").format(caption, heads, rows)


def _row(cell: Markup, cells: Sequence[str], side: Markup) -> Markup:
    """The first cell is a name, at the left."""
    styles = [_TEXT, *[side] * (len(cells) - 1)]
    return Markup("<tr>{}</tr>").format(Markup("").join(map(cell.format, styles, cells)))


def framed(page: str) -> str:
    """A whole page inside a cell: its styles stay its own, and its links and scripts do nothing to the notebook."""
    style = f"width:100%;height:{PAGE_HEIGHT}px;border:0"
    # A line break may end a raw block of Markdown, in which notebooks are rendered too.
    source = str(escape(page)).replace("\n", "&#10;")
    return f'<iframe sandbox="" style="{style}" srcdoc="{source}"></iframe>'
