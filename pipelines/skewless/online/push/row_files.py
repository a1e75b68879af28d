"""Reads rows to push from a file: JSON, JSON Lines, CSV or Parquet.

Held by tests/online/push/test_push.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from skewless.contract.errors import InvalidInput, InvalidRows, SkewlessError
from skewless.contract.storage.push_batch import CREATED, EVENT, PushBatch
from skewless.contract.storage.push_target import PushTarget
from skewless.contract.timestamp_arrays import UTC_TIMESTAMP, UtcMicrosArray
from skewless.contract.timestamps import UtcMicros
from skewless.contract.value_types import value_type
from skewless.offline.tables.columns import feature, known_since, time_column
from skewless.offline.values.csv_input import read_csv
from skewless.online.push.push import PushedRows
from skewless.runtime.errors import SourceMismatch

Format = Literal["json", "csv", "parquet"]
SUFFIXES: dict[str, Format] = {
    ".json": "json", ".jsonl": "json", ".ndjson": "json", ".csv": "csv", ".parquet": "parquet",
}  # fmt: skip


@dataclass(eq=False)
class UnreadableRowFile(SkewlessError):
    """A file of rows cannot be parsed in its format."""

    format: str
    reason: str

    def __str__(self) -> str:
        return f"the rows are not {self.format.upper()}: {self.reason}; nothing was pushed"


def format_of(chosen: str | None, file: Path | None) -> Format | None:
    """The chosen format, else that of the file's suffix, else (stdin) JSON; None if it is unknown."""
    if chosen is None:
        return SUFFIXES.get(file.suffix) if file else "json"
    return SUFFIXES.get(f".{chosen}")


def read(rows: PushedRows, content: bytes, kind: Format, now: UtcMicros) -> PushBatch:
    """All rows of a file, validated. Raises: UnreadableRowFile, InvalidRows, SourceMismatch."""
    if kind == "json":
        return rows.batch([rows.parse(json_rows(content))], now)
    try:
        table = _csv(rows.target, content) if kind == "csv" else pq.read_table(pa.BufferReader(content))
    except pa.ArrowException as error:
        raise UnreadableRowFile(kind, str(error)) from error
    return _batch(rows.target, table, now)


def batch_of(rows: PushedRows, table: pa.Table, now: UtcMicros) -> PushBatch:
    """All rows of an Arrow table, validated. Raises: InvalidRows, SourceMismatch."""
    return _batch(rows.target, table, now)


def json_rows(content: bytes) -> list[object]:
    """Rows from an array, from an object with `rows`, or one per line. Raises: UnreadableRowFile."""
    try:
        parsed = orjson.loads(content)
    except orjson.JSONDecodeError:
        return _json_lines(content)
    if isinstance(parsed, dict) and isinstance(parsed.get("rows"), list):
        return list(parsed["rows"])
    return parsed if isinstance(parsed, list) else [parsed]


def _json_lines(content: bytes) -> list[object]:
    rows = []
    for number, line in enumerate(content.splitlines(), 1):
        if line.strip():
            try:
                rows.append(orjson.loads(line))
            except orjson.JSONDecodeError as error:
                raise UnreadableRowFile("json", f"line {number}: {error.msg}") from None
    return rows


def _csv(target: PushTarget, content: bytes) -> pa.Table:
    types = {EVENT: UTC_TIMESTAMP, CREATED: UTC_TIMESTAMP}
    types |= {key.key: value_type(key.dtype).arrow for key in target.view.join_keys}
    types |= {field.name: value_type(field.dtype).arrow for field in target.view.fields}
    if target.view.deleted_field:
        types[target.view.deleted_field] = pa.bool_()
    return read_csv(content, types)


def _batch(target: PushTarget, table: pa.Table, now: UtcMicros) -> PushBatch:
    view, name = target.view, target.view.stored_as
    _check_names(target, table.column_names)
    event = _times(name, EVENT, table)
    created = np.full(len(event), now, np.int64)
    if target.created_timestamp_column is None:
        created = event
    elif CREATED in table.column_names:
        created = _times(name, CREATED, table, created)
    deleted = np.zeros(len(event), bool)
    if view.deleted_field and view.deleted_field in table.column_names:
        mark = feature(name, view.deleted_field, table.column(view.deleted_field), value_type("Bool"))
        deleted = mark.fill_null(fill_value=False).to_numpy(zero_copy_only=False)
    return PushBatch(
        view,
        tuple(feature(name, key.key, table.column(key.key), value_type(key.dtype)) for key in view.join_keys),
        event,
        created,
        deleted,
        tuple(feature(name, field.name, table.column(field.name), value_type(field.dtype)) for field in view.fields),
    )


def _times(view: str, name: str, table: pa.Table, otherwise: UtcMicrosArray | None = None) -> UtcMicrosArray:
    column = table.column(name)
    if pa.types.is_string(column.type):
        try:
            column = column.cast(UTC_TIMESTAMP)
        except pa.ArrowInvalid as error:
            raise SourceMismatch(view, name, f"is text that is not a time ({error})") from error
    return time_column(view, name, column) if otherwise is None else known_since(view, name, column, otherwise)


def _check_names(target: PushTarget, names: Sequence[str]) -> None:
    view = target.view
    needed = [*(key.key for key in view.join_keys), *(field.name for field in view.fields), EVENT]
    known = {*needed, CREATED} | ({view.deleted_field} if view.deleted_field else set())
    problems = [InvalidInput(name, "is missing") for name in needed if name not in names]
    problems += [
        InvalidInput(name, f"is unknown; a row has {', '.join(needed)}") for name in names if name not in known
    ]
    if problems:
        raise InvalidRows(view.stored_as, tuple(problems))
