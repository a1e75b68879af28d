"""A stamped table and rows of three days for it, for a process that is killed while it stores them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pyarrow as pa

from skewless.offline.tables.ingest import IngestTable
from skewless.offline.tables.row_versions import StampedRows


def table(now: datetime) -> IngestTable:
    return IngestTable("orders", ("customer",), lambda *_: batches(), combine=StampedRows(("customer",), now))


def batches() -> list[pa.RecordBatch]:
    times = [datetime(2024, 2, 28, tzinfo=UTC) + timedelta(hours=6 * number) for number in range(12)]
    columns = {"customer": list(range(12)), "event_timestamp": pa.array(times, pa.timestamp("us", "UTC"))}
    return pa.table(columns).to_batches(max_chunksize=5)
