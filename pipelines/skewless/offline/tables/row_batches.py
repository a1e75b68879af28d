"""Rows as a project's function returns them, in whatever kind of frame, as Arrow record batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import pyarrow as pa

from skewless.contract.errors import SkewlessError

_DICTS = 10_000


@dataclass(eq=False)
class UnknownRows(SkewlessError):
    """A function returned what is no rows."""

    table: str
    kind: str

    def __str__(self) -> str:
        return (
            f"the rows of table {self.table!r} come as {self.kind}; return an Arrow table, reader or record batches, a "
            "pandas or Polars frame, a DuckDB relation, or dicts"
        )


def batches(table: str, rows: object) -> Iterator[pa.RecordBatch]:
    """The batches of a frame (whatever offers Arrow's stream interface), a Polars LazyFrame, or an iterable of frames or of
    dicts, which may be a generator. Raises: UnknownRows.
    """
    frame = rows.collect() if type(rows).__name__ == "LazyFrame" and hasattr(rows, "collect") else rows
    if isinstance(frame, pa.RecordBatch):
        yield frame
    elif hasattr(frame, "__arrow_c_stream__"):
        yield from pa.RecordBatchReader.from_stream(frame)
    elif isinstance(frame, Iterable) and not isinstance(frame, str | bytes | Mapping):
        yield from _of_parts(table, iter(frame))
    else:
        raise UnknownRows(table, type(rows).__name__)


def of_dicts(rows: Sequence[Mapping[str, object]]) -> pa.RecordBatch:
    """Rows as a batch, with a column for each name that any of them has. Raises: pa.ArrowInvalid."""
    names = dict.fromkeys(name for row in rows for name in row)
    return pa.RecordBatch.from_pydict({name: pa.array([row.get(name) for row in rows]) for name in names})


def _of_parts(table: str, parts: Iterator[object]) -> Iterator[pa.RecordBatch]:
    for part in parts:
        if isinstance(part, Mapping):
            dicts = [part, *islice(parts, _DICTS - 1)]
            rows = [row for row in dicts if isinstance(row, Mapping)]
            if len(rows) < len(dicts):
                raise UnknownRows(table, "dicts and other things")
            yield of_dicts(rows)
        elif isinstance(part, pa.RecordBatch) or hasattr(part, "__arrow_c_stream__"):
            yield from batches(table, part)
        else:
            raise UnknownRows(table, f"an iterable of {type(part).__name__}")
