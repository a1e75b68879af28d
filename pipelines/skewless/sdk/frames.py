"""Frames that are given: pandas, Polars, Arrow, DuckDB relations, dicts; each becomes an Arrow table."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Protocol

from skewless.sdk.arguments import BadArgument

if TYPE_CHECKING:
    import pyarrow as pa


class ArrowStream(Protocol):
    """Whatever offers Arrow's stream interface: frames of pandas and Polars, Arrow tables, DuckDB relations."""

    def __arrow_c_stream__(self, requested_schema: object = None) -> object: ...


Rows = ArrowStream | Sequence[Mapping[str, object]] | Mapping[str, object]
"""A frame, dicts, or the dict of a single row."""


def arrow_table(rows: Rows, argument: str) -> pa.Table:
    """The rows as an Arrow table; an index of pandas is no column. Raises: BadArgument, which names the `argument`."""
    import pyarrow as pa

    from skewless.offline.tables.row_batches import UnknownRows, batches

    if isinstance(rows, pa.Table):
        return rows
    try:
        if type(rows).__module__.partition(".")[0] == "pandas" and hasattr(rows, "columns"):
            return pa.Table.from_pandas(rows, preserve_index=False)
        return pa.Table.from_batches(batches(argument, [rows] if isinstance(rows, Mapping) else rows))
    except UnknownRows as error:
        raise BadArgument(argument, f"is {error.kind}; {_TAKEN}") from error
    except (pa.ArrowException, ValueError) as error:
        raise BadArgument(argument, f"has rows that are no table ({_first_line(error)}); {_TAKEN}") from error


def row_dicts(rows: Rows, argument: str) -> list[dict[str, object]]:
    """The rows as dicts, as they are given where they are dicts. Raises: BadArgument."""
    if isinstance(rows, Mapping):
        return [dict(rows)]
    if isinstance(rows, Sequence) and is_dicts(rows):
        return [dict(row) for row in rows]
    dicts: list[dict[str, object]] = arrow_table(rows, argument).to_pylist()
    return dicts


def json_rows(rows: Rows, argument: str) -> list[object]:
    """The rows as JSON values: times as text, bytes in base64, NaN as null. Raises: BadArgument."""
    import orjson

    try:
        encoded = orjson.dumps(row_dicts(rows, argument), default=_json_value, option=orjson.OPT_NAIVE_UTC)
    except TypeError as error:
        raise BadArgument(argument, f"has a value that JSON does not have: {_first_line(error)}") from error
    decoded: list[object] = orjson.loads(encoded)
    return decoded


def _json_value(value: object) -> object:
    """A value that JSON lacks, as the server takes it. A float32 of NumPy is the double of the same number: its own shortest
    text would be another one.
    """
    if type(value).__module__ == "numpy":
        python: object = getattr(value, "tolist", lambda: None)()
        if isinstance(python, _PLAIN):
            return python
    if isinstance(value, bytes):
        return b64encode(value).decode()
    if isinstance(value, datetime):  # of a subclass, as pandas has one
        return value.isoformat() if value.tzinfo else value.replace(tzinfo=UTC).isoformat()
    if isinstance(value, Decimal):
        return float(value) if value.is_finite() else None
    raise TypeError(f"{type(value).__name__} {value!r}")


def is_dicts(rows: object) -> bool:
    """Whether rows are dicts, or the dict of one row."""
    if isinstance(rows, Mapping):
        return True
    return (
        isinstance(rows, Sequence) and not isinstance(rows, str | bytes) and all(isinstance(r, Mapping) for r in rows)
    )


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


_PLAIN = (int, float, str, list)
_TAKEN = "give a pandas or Polars frame, an Arrow table, a DuckDB relation, or dicts"
