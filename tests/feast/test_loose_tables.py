"""Tables as people have them: times that the field mapping names, doubles under Float32, numbers under a text key.

Feast's file store and its own engine take them all; the values that we answer offline and online are the same.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, PushSource, RepoConfig
from feast.data_source import PushMode
from feast.types import Array, Bool, Bytes, FeastType, Float32, Float64, Int32, Int64, String, UnixTimestamp

from skewless.runtime.errors import SourceMismatch, SpineMismatch

pytestmark = pytest.mark.filterwarnings("ignore")  # Dask's and pandas's, out of Feast
NOW = datetime.now(UTC).replace(microsecond=0)
THEN = NOW - timedelta(hours=1)
STORES = "skewless.feast"
ENGINES = ["local", f"{STORES}.SkewlessEngine"]
US = pa.timestamp("us", "UTC")
Make = Callable[..., FeatureStore]


@pytest.fixture(params=ENGINES, ids=["feast's engine", "our engine"])
def make(request, tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Make:
    """A store of one view over one table, by either engine."""
    monkeypatch.setenv("SKEWLESS_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("SKEWLESS_REDIS_URL", redis_url)

    def made(table: dict[str, object], *fields: Field, by: str | None = "plate", **source: object) -> FeatureStore:
        pq.write_table(pa.table(table), tmp_path / "loose.parquet", row_group_size=source.pop("rows_a_group", None))
        config = RepoConfig(
            project="loose",
            provider="local",
            registry=str(tmp_path / "registry.db"),
            offline_store={"type": f"{STORES}.offline_store.SkewlessOfflineStore"},
            online_store={"type": f"{STORES}.online_store.SkewlessOnlineStore"},
            batch_engine={"type": request.param} if "." in request.param else request.param,
            entity_key_serialization_version=3,
            repo_path=str(tmp_path),
        )
        files = FileSource(name="loose_table", path=str(tmp_path / "loose.parquet"), **source)
        # Feast's engine forgets the field mapping of what stands behind a push source.
        origin = files if "field_mapping" in source else PushSource(name="tell", batch_source=files)
        entities = [Entity(name="car", join_keys=[by])] if by else []
        view = FeatureView(name="loose", entities=entities, schema=list(fields), source=origin, ttl=timedelta(days=1))
        store = FeatureStore(config=config)
        store.apply([*entities, view])
        return store

    return made


def offline(store: FeatureStore, feature: str, plate: object = 7) -> pa.ChunkedArray:
    spine = pd.DataFrame({"plate": [plate], "event_timestamp": [NOW]})
    return store.get_historical_features(spine, [f"loose:{feature}"]).to_arrow().column(feature)


def online(store: FeatureStore, feature: str, plate: object = 7) -> object:
    store.materialize(NOW - timedelta(days=1), NOW)
    return store.get_online_features([f"loose:{feature}"], [{"plate": plate}]).to_dict()[feature][0]


def table(value: object, plate: object = 7, at: str = "event_timestamp") -> dict[str, object]:
    return {"plate": [plate], "value": value, at: pa.array([THEN], US)}


def test_times_that_the_field_mapping_names(make: Make):
    held = table([3], at="stamped") | {"stored": pa.array([THEN], US)}
    times = {"timestamp_field": "at", "created_timestamp_column": "known"}
    store = make(held, Field(name="value", dtype=Int64), field_mapping={"stamped": "at", "stored": "known"}, **times)
    assert offline(store, "value").to_pylist() == [3]
    assert online(store, "value") == 3
    later = pd.DataFrame({"plate": [7], "value": [4], "stamped": [NOW], "stored": [NOW]})
    store.write_to_offline_store("loose", later, allow_registry_cache=False)
    assert offline(store, "value").to_pylist() == [4]


@pytest.mark.parametrize(
    ("value", "dtype", "kind"),
    [
        (pa.array([0.1]), Float32, pa.float64()),
        (pa.array([0.1], pa.float32()), Float32, pa.float32()),
        (pa.array([[0.1, 2.0]]), Array(Float32), pa.list_(pa.float64())),
        (pa.array([[1, 2]]), Array(Int32), pa.list_(pa.int64())),
    ],
)
def test_wider_numbers_are_the_declared_ones_and_answered_in_the_tables_type(
    make: Make, value: pa.Array, dtype: FeastType, kind: pa.DataType
):
    store = make(table(value), Field(name="value", dtype=dtype), timestamp_field="event_timestamp")
    found = offline(store, "value")
    assert (found.type, found.to_pylist()) == (kind, [online(store, "value")])
    nearest = np.float32(value.to_pylist()[0]).tolist()
    assert found.to_pylist() == [nearest]


def test_a_double_that_no_float_holds_is_refused(make: Make):
    store = make(table([1e300]), Field(name="value", dtype=Float32), timestamp_field="event_timestamp")
    with pytest.raises(SourceMismatch, match=r"'value' .* which does not hold 1e\+300"):
        offline(store, "value")


AS_PANDAS_LEAVES_THEM = {
    "whole doubles": (pa.array([3.0]), Int64, 3),
    "a missing integer": (pa.array([float("nan")]), Int64, None),
    "integers under a double": (pa.array([2**53]), Float64, 2.0**53),
    "an exact decimal": (pa.array([Decimal("0.50")], pa.decimal128(10, 2)), Float64, 0.5),
    "a whole decimal": (pa.array([Decimal(7)], pa.decimal128(38, 0)), Int64, 7),
    "0 and 1": (pa.array([1], pa.int8()), Bool, True),
    "a day": (pa.array([date(2024, 1, 1)]), UnixTimestamp, datetime(2024, 1, 1, tzinfo=UTC)),
    "a text view": (pa.array(["ü"]).cast(pa.string_view()), String, "ü"),
    "a bytes view": (pa.array([b"a"]).cast(pa.binary_view()), Bytes, b"a"),
}
NOT_EXACT = {
    "half a number": (pa.array([3.5]), Int64, r"does not hold 3\.5, in row 1 of .*loose\.parquet"),
    "beyond doubles": (pa.array([2**53 + 1]), Float64, "does not hold 9007199254740993, in row 1 of "),
    "a tenth": (pa.array([Decimal("0.10")]), Float64, r"does not hold 0\.10, in row 1 of "),
    "2": (pa.array([2]), Bool, "does not hold 2, in row 1 of "),
    "a number for a text": (pa.array([2]), String, "is int64 and is declared as string"),
}


@pytest.mark.parametrize("make", ENGINES[1:], indirect=True)
@pytest.mark.parametrize("what", AS_PANDAS_LEAVES_THEM)
def test_columns_are_taken_where_the_declared_type_holds_them(make: Make, what: str):
    value, dtype, expected = AS_PANDAS_LEAVES_THEM[what]
    store = make(table(value), Field(name="value", dtype=dtype), timestamp_field="event_timestamp")
    assert offline(store, "value").to_pylist() == [expected]
    found = online(store, "value")
    assert (type(found), found) == (type(expected), expected)


@pytest.mark.parametrize("make", ENGINES[1:], indirect=True)
@pytest.mark.parametrize("what", NOT_EXACT)
def test_what_is_not_exact_is_refused_offline_and_online(make: Make, what: str):
    value, dtype, reason = NOT_EXACT[what]
    store = make(table(value), Field(name="value", dtype=dtype), timestamp_field="event_timestamp")
    for read in (offline, online):
        with pytest.raises(SourceMismatch, match=reason):
            read(store, "value")


@pytest.mark.parametrize("plates", [pa.array(["a"]).cast(pa.string_view()), pa.array(["a"]).dictionary_encode()])
def test_keys_that_are_text_views(make: Make, plates: pa.Array):
    fields = Field(name="plate", dtype=String), Field(name="value", dtype=Int64)
    store = make(table([3], plate="a") | {"plate": plates}, *fields, timestamp_field="event_timestamp")
    assert offline(store, "value", "a").to_pylist() == [3]
    assert online(store, "value", "a") == 3


def test_a_row_without_created_time_is_known_since_its_event(make: Make):
    held = {"plate": [7, 7], "value": [1, 2], "event_timestamp": pa.array([THEN, THEN - timedelta(minutes=1)], US)}
    held["created"] = pa.array([None, THEN], US)
    times = {"timestamp_field": "event_timestamp", "created_timestamp_column": "created"}
    store = make(held, Field(name="value", dtype=Int64), **times)
    assert offline(store, "value").to_pylist() == [1]
    assert online(store, "value") == 1


def test_numbers_under_a_key_that_is_text(make: Make):
    fields = Field(name="plate", dtype=String), Field(name="value", dtype=Int64)
    store = make(table([3]), *fields, timestamp_field="event_timestamp")
    assert offline(store, "value").to_pylist() == offline(store, "value", "7").to_pylist() == [3]
    assert offline(store, "value", 8).to_pylist() == [None]
    assert online(store, "value") == online(store, "value", "7") == 3


def test_numbers_that_ask_for_texts_are_refused(make: Make):
    fields = Field(name="plate", dtype=String), Field(name="value", dtype=Int64)
    store = make(table([3], plate="07"), *fields, timestamp_field="event_timestamp")
    with pytest.raises(SpineMismatch, match="'plate' is int64 and is declared as string"):
        offline(store, "value")


def test_a_view_without_entities_is_materialized_by_either_engine(make: Make):
    held = {"value": [3, 4], "event_timestamp": pa.array([THEN, NOW], US)}
    store = make(held, Field(name="value", dtype=Int64), by=None, timestamp_field="event_timestamp")
    assert online(store, "value") == 4


def test_every_row_group_is_materialized_by_either_engine(make: Make):
    plates = list(range(1000))
    held = {"plate": plates, "value": plates, "event_timestamp": pa.array([THEN] * 1000, US)}
    store = make(held, Field(name="value", dtype=Int64), timestamp_field="event_timestamp", rows_a_group=10)
    assert [online(store, "value", plate) for plate in (0, 500, 999)] == [0, 500, 999]


def test_rows_sent_as_json_have_texts_for_times(make: Make):
    store = make(table([3]), Field(name="value", dtype=Int64), timestamp_field="event_timestamp")
    half = THEN + timedelta(minutes=30)
    for value, time in ((5, half.isoformat()), (6, (half + timedelta(minutes=1)).replace(tzinfo=None).isoformat(" "))):
        sent = pd.DataFrame({"plate": [7], "value": [value], "event_timestamp": [time]})
        store.push("tell", sent, to=PushMode.ONLINE_AND_OFFLINE)
        assert offline(store, "value").to_pylist() == [value]
        assert store.get_online_features(["loose:value"], [{"plate": 7}]).to_dict()["value"] == [value]
    with pytest.raises(SourceMismatch, match=r"'event_timestamp' .* 'soon', which is not an ISO 8601 time"):
        store.push("tell", sent.assign(event_timestamp="soon"), to=PushMode.OFFLINE)
