"""Reads the rows of the served log, by model version and window.

Held by tests/monitoring/audit/test_audit.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from skewless.contract.storage.served_row import Role
from skewless.monitoring.served_log.days import active_files
from skewless.offline.tables.source import parquet_files
from skewless.runtime.errors import StepInputMissing


@dataclass(frozen=True, slots=True)
class ServedLogReader:
    """A reader of the served log in `folder`."""

    folder: Path

    def rows(self, model: str) -> int:
        """How many rows of a model, over all its versions, are on disk."""
        return sum(
            pq.read_metadata(file).num_rows for file in active_files(parquet_files(self.folder / f"model={model}"))
        )

    def read(self, model: str, version: str, start: datetime, end: datetime, role: Role | None = None) -> pa.Table:
        """The rows that a model version served with start <= served_at < end, in `role` or (None) in any role.

        Raises: StepInputMissing where the version has no served log.
        """
        folder = self.folder / f"model={model}" / f"version={version}"
        files = [str(file) for file in active_files(parquet_files(folder))]
        if not files:
            raise StepInputMissing(f"a served log of {model} {version}", "skewless serve")
        window = (pc.field("served_at") >= start) & (pc.field("served_at") < end)
        if role is not None:
            window &= pc.field("role") == role
        return ds.dataset(files, format="parquet", partitioning=None).to_table(filter=window)
