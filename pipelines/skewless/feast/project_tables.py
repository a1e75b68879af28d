"""The tables of a project by name: the data sources of its registry, and the tables in its data folder.

Held by tests/feast/test_offline_store.py.
"""

from __future__ import annotations

from pathlib import Path

from feast.data_source import DataSource
from feast.infra.registry.base_registry import BaseRegistry
from skewless.contract.errors import InvalidPlan
from skewless.definitions.file_source import table_of
from skewless.offline.join.point_in_time import TIMESTAMP
from skewless.offline.tables.source import TableSource, parquet_files


def project_tables(registry: BaseRegistry, project: str, data: Path) -> dict[str, TableSource]:
    """Data sources by name, then the folders and `*.parquet` files of the data folder that no source is named like."""
    tables = {path.stem: TableSource(path.stem, path, TIMESTAMP, None) for path in _tables(data)}
    for source in registry.list_data_sources(project, allow_cache=True):
        table = _source(source, data)
        if table is not None:
            tables[source.name] = table
    return {name: source for name, source in tables.items() if _has_rows(source)}


def _has_rows(source: TableSource) -> bool:
    return source.remote is not None or source.path.is_file() or bool(parquet_files(source.path))


def _tables(data: Path) -> list[Path]:
    if not data.is_dir():
        return []
    paths = sorted(path for path in data.iterdir() if path.name[0] not in "._" and path.suffix != ".parts")
    return [path for path in paths if path.is_dir() or path.suffix == ".parquet"]


def _source(source: DataSource, data: Path) -> TableSource | None:
    try:
        return table_of(source.name, getattr(source, "batch_source", None) or source, data)
    except InvalidPlan:
        return None
