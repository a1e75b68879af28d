"""Parses the times of rows that came as JSON strings, as Feast's feature server receives them.

Held by tests/feast/test_feature_server.py.
"""

from __future__ import annotations

from datetime import datetime

import pyarrow as pa

from skewless.contract.timestamp_arrays import UTC_TIMESTAMP
from skewless.contract.timestamps import aware
from skewless.offline.tables.source import TableSource
from skewless.runtime.errors import SourceMismatch


def with_parsed_times(source: TableSource, table: pa.Table) -> pa.Table:
    """The rows with strings in their time columns parsed as ISO 8601, UTC without a zone. Raises: SourceMismatch."""
    for name in filter(None, (source.timestamp_field, source.created_timestamp_column)):
        index = table.schema.get_field_index(name)
        if index >= 0 and pa.types.is_string(table.schema.field(index).type):
            times = [None if text is None else _time(source, name, text) for text in table.column(index).to_pylist()]
            table = table.set_column(index, name, pa.array(times, UTC_TIMESTAMP))
    return table


def _time(source: TableSource, name: str, text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise SourceMismatch(source.view, name, f"is {text!r}, which is not an ISO 8601 time") from error
    return aware(time)
