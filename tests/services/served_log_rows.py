"""The rows of a served log."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq


def logged(folder: Path) -> list[dict[str, object]]:
    files = sorted(folder.rglob("*.parquet"))
    return [row for file in files for row in pq.ParquetFile(file).read().to_pylist()]
