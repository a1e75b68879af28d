"""Times of rows that came as JSON, where a time can only be a text: what Feast's feature server is sent.

Held by tests/feast/test_feature_server.py.
"""

from __future__ import annotations

from datetime import datetime

import pyarrow as pa

from skewless.contract.timestamps import UTC_TIMESTAMP, aware
from skewless.offline.tables.source import TableSource
from skewless.runtime.errors import SourceMismatch


def timed(source: TableSource, table: pa.Table) -> pa.Table:
    """The rows with texts in their time columns as ISO 8601 times, UTC where they name no zone. Raises: SourceMismatch."""
    for name in filter(None, (source.timestamp_field, source.created_timestamp_column)):
        place = table.schema.get_field_index(name)
        if place >= 0 and pa.types.is_string(table.schema.field(place).type):
            times = [None if text is None else _time(source, name, text) for text in table.column(place).to_pylist()]
            table = table.set_column(place, name, pa.array(times, UTC_TIMESTAMP))
    return table


def _time(source: TableSource, name: str, text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise SourceMismatch(source.view, name, f"is sent as {text!r}, which is no ISO 8601 time") from error
    return aware(time)
