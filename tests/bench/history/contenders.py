"""Who joins. Each runs in a process of its own: `python -m tests.bench.history.contenders NAME TABLES SPINE OUTPUT`.

What is timed is the query, from the spine in memory to the whole result in memory, after the imports; the peak of
memory is the whole process's, imports, spine and result included.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tests.bench.history.workload import CREATED, DTYPES, EVENT, KEY, ROW_ID, TTL_DAYS, features, sample_of

OURS, FEAST_FILE, FEAST_DUCKDB, POLARS, SCAN = "skewless", "feast-file", "feast-duckdb", "polars", "scan"
FEAST = (FEAST_FILE, FEAST_DUCKDB)
ALL = (OURS, FEAST_DUCKDB, FEAST_FILE, POLARS, SCAN)
_STORES = {
    OURS: "skewless.feast.SkewlessOfflineStore",
    FEAST_FILE: "file",
    FEAST_DUCKDB: "duckdb",
}
Query = Callable[[], pa.Table | None]


def feast(name: str, tables: Path, spine: Path, folder: Path) -> Query:
    """Feast's SDK on one of the stores; the spine is pandas, as Feast takes it."""
    import feast.types
    from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
    from feast.repo_config import RegistryConfig

    config = RepoConfig(
        project="bench",
        provider="local",
        registry=RegistryConfig(path=str(folder / "registry.db")),
        offline_store={"type": _STORES[name]},
        online_store=None,
        entity_key_serialization_version=3,
        repo_path=folder,
    )
    entity = Entity(name="entity", join_keys=[KEY], value_type=ValueType.INT64)
    views = [
        FeatureView(
            name=view,
            entities=[entity],
            ttl=timedelta(days=days),
            schema=[Field(name=n, dtype=getattr(feast.types, d)) for n, d in zip(features(view), DTYPES, strict=True)]
            + [Field(name=KEY, dtype=feast.types.Int64)],
            source=FileSource(
                name=view,
                path=str(tables / f"{view}.parquet"),
                timestamp_field=EVENT,
                created_timestamp_column=CREATED,
            ),
        )
        for view, days in TTL_DAYS.items()
    ]
    store = FeatureStore(config=config)
    store.apply([entity, *views])
    rows = pq.read_table(spine).to_pandas()
    asked = [f"{view}:{name}" for view in TTL_DAYS for name in features(view)]
    return lambda: store.get_historical_features(rows, asked).to_arrow()


def polars(_name: str, tables: Path, spine: Path, _folder: Path) -> Query:
    """`join_asof` on the streaming engine, written as one who knows Polars would: sorted by event and created time."""
    import polars as pl

    rows = pl.read_parquet(spine)

    def query() -> pa.Table:
        joined = rows.lazy().sort(EVENT)
        for view, days in TTL_DAYS.items():
            history = pl.scan_parquet(tables / f"{view}.parquet").sort(EVENT, CREATED).drop(CREATED)
            tolerance = timedelta(days=days) if days else None
            joined = joined.join_asof(history, on=EVENT, by=KEY, strategy="backward", tolerance=tolerance)
        return joined.sort(ROW_ID).collect(engine="streaming").to_arrow()

    return query


def scan(_name: str, tables: Path, _spine: Path, _folder: Path) -> Query:
    """No join: Arrow reads the columns that a join needs and throws them away."""
    import pyarrow.dataset as ds

    def query() -> None:
        for view in TTL_DAYS:
            columns = [KEY, EVENT, CREATED, *features(view)]
            for _ in ds.dataset(tables / f"{view}.parquet").scanner(columns=columns).to_batches():
                pass

    return query


def peak_bytes() -> int:
    """The most memory that this process has had resident."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def main() -> None:
    name, tables, spine, output = sys.argv[1], *(Path(argument) for argument in sys.argv[2:])
    prepare = {POLARS: polars, SCAN: scan}.get(name, feast)
    query = prepare(name, tables, spine, output)
    began, worked = time.perf_counter(), time.process_time()
    result = query()
    told = {"seconds": time.perf_counter() - began, "cpu_seconds": time.process_time() - worked}
    told["peak_bytes"] = peak_bytes()
    if result is not None:
        sample = sample_of(pq.read_table(spine)).column(ROW_ID).combine_chunks()
        told["rows"] = len(result)
        pq.write_table(result.filter(pc.is_in(result.column(ROW_ID), value_set=sample)), output / "sample.parquet")
    (output / "told.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main()
