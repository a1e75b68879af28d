"""A feature view over s3:// through Feast's SDK, with Feast's own setting for the endpoint."""

from __future__ import annotations

from datetime import timedelta

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig
from feast.types import Float32
from feast.value_type import ValueType

from skewless.offline.tables.object_storage import RemoteReadOnly
from tests.services.s3 import BUCKET, S3, s3, s3_server
from tests.tables.scratch_project import HOUR, NOW, times

__all__ = ["s3", "s3_server"]
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning:feast", "ignore::DeprecationWarning")


def put(s3: S3, part: str, fuel: float, offset: timedelta) -> None:
    rows = {"tailnum": ["N1"], "fuel": pa.array([fuel], pa.float32()), "event_timestamp": times(offset)}
    pq.write_table(pa.table(rows), f"{BUCKET}/told/{part}.parquet", filesystem=s3.filesystem)


def test_a_view_over_s3_is_joined(s3, tmp_path):
    plane = Entity(name="plane", join_keys=["tailnum"], value_type=ValueType.STRING)
    told = FeatureView(
        name="told",
        entities=[plane],
        schema=[Field(name="fuel", dtype=Float32)],
        source=FileSource(
            name="told",
            path=f"s3://{BUCKET}/told",
            timestamp_field="event_timestamp",
            s3_endpoint_override=s3.endpoint,
        ),
    )
    config = RepoConfig(
        project="stored",
        provider="local",
        registry=str(tmp_path / "registry.db"),
        offline_store={"type": "skewless.feast.SkewlessOfflineStore", "data": tmp_path},
        online_store=None,
        repo_path=tmp_path,
        entity_key_serialization_version=3,
    )
    store = FeatureStore(config=config)
    put(s3, "part-0", 1, -2 * HOUR)
    store.apply([plane, told])
    frame = pd.DataFrame({"tailnum": ["N1", "?"], "event_timestamp": NOW})
    asked = [
        (frame, {}),
        (f"SELECT tailnum, TIMESTAMPTZ '{NOW.isoformat()}' AS event_timestamp FROM told LIMIT 1", {}),
        (None, {"start_date": NOW - 3 * HOUR, "end_date": NOW}),
    ]
    for fuel in (1, 2):
        for given, options in asked:
            found = store.get_historical_features(given, ["told:fuel"], **options).to_arrow()
            assert found["fuel"].to_pylist() == ([fuel, None] if given is frame else [fuel])
        put(s3, "part-1", 2, -HOUR)
    rows = pd.DataFrame({"tailnum": ["N1"], "fuel": [3.0], "event_timestamp": [NOW]})
    with pytest.raises(RemoteReadOnly, match="s3://features/told"):
        store.write_to_offline_store("told", rows)
