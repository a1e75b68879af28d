"""What Feast's universal test suite asks of an offline store, on Feast's own example data, beside its file store.

Where Feast's file store answers a row at all it must answer what we do; the rows that it loses are ours to keep.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, FileSource, RepoConfig, RequestSource
from feast import driver_test_data as examples
from feast.errors import RequestDataNotFoundInEntityDfException, SavedDatasetLocationAlreadyExists
from feast.infra.offline_stores.file_source import SavedDatasetFileStorage
from feast.infra.registry.base_registry import BaseRegistry
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Array, Bool, Float32, Float64, Int32, Int64, String, UnixTimestamp
from feast.value_type import ValueType

from skewless.feast.offline_store import SkewlessOfflineStoreConfig

pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # Dask's and pandas's, out of Feast
]
END = datetime(2024, 1, 4, tzinfo=UTC)
START = END - timedelta(days=3)
DRIVERS, CUSTOMERS, PLACES = [5001, 5002, 5003], [1001, 1002], [1, 2, 3]


@dataclass(frozen=True)
class Stores:
    ours: FeatureStore
    feasts: FeatureStore
    orders: pd.DataFrame


def source(name: str, created: str | None = "created", **options) -> FileSource:
    return FileSource(
        name=name,
        path=f"{name}.parquet",
        timestamp_field="event_timestamp",
        created_timestamp_column=created,
        **options,
    )


driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
customer = Entity(name="customer", join_keys=["customer_id"], value_type=ValueType.INT64)
place = Entity(name="place", join_keys=["location_id"], value_type=ValueType.INT64)
hourly = FeatureView(
    name="driver_stats",
    entities=[driver],
    ttl=timedelta(hours=2),
    schema=[
        Field(name="conv_rate", dtype=Float32),
        Field(name="acc_rate", dtype=Float32),
        Field(name="avg_daily_trips", dtype=Int32),
    ],
    source=source("hourly"),
)
trips = FeatureView(
    name="trips",
    entities=[driver],
    schema=[Field(name="trips_a_day", dtype=Int32)],
    source=source("same_hourly", field_mapping={"avg_daily_trips": "trips_a_day"}),
)
profile = FeatureView(
    name="customer_profile",
    entities=[customer],
    ttl=timedelta(days=2),
    schema=[
        Field(name="current_balance", dtype=Float32),
        Field(name="avg_passenger_count", dtype=Float32),
        Field(name="lifetime_trip_count", dtype=Int32),
    ],
    source=source("profile"),
)
order = FeatureView(
    name="order",
    entities=[customer, driver],
    ttl=timedelta(days=2),
    schema=[Field(name="order_is_success", dtype=Int32)],
    source=source("orders", None),
)
whole = FeatureView(
    name="global_stats",
    entities=[],
    ttl=timedelta(days=2),
    schema=[Field(name="num_rides", dtype=Int32), Field(name="avg_ride_length", dtype=Float32)],
    source=source("whole"),
)
mapped = FeatureView(
    name="field_mapping",
    entities=[],
    ttl=timedelta(days=2),
    schema=[Field(name="feature_name", dtype=Int32)],
    source=source("mapped", field_mapping={"column_name": "feature_name"}),
)
weather = FeatureView(
    name="location_stats",
    entities=[place],
    ttl=timedelta(days=2),
    schema=[Field(name="temperature", dtype=Int32)],
    source=source("weather"),
)
added = RequestSource(name="added", schema=[Field(name="val_to_add", dtype=Int64)])


@on_demand_feature_view(
    sources=[hourly[["conv_rate"]], added],
    schema=[Field(name="more", dtype=Float64), Field(name="hundred_more", dtype=Float64)],
)
def plus(inputs: pd.DataFrame) -> pd.DataFrame:
    more = inputs["conv_rate"].astype("float64") + inputs["val_to_add"]
    return pd.DataFrame({"more": more, "hundred_more": inputs["conv_rate"].astype("float64") + 100})


shadows = FeatureService(
    name="shadows",
    features=[
        weather.with_name("origin").with_join_key_map({"location_id": "origin_id"}),
        weather.with_name("destination").with_join_key_map({"location_id": "destination_id"}),
    ],
)
chosen = FeatureService(name="chosen", features=[hourly[["acc_rate"]], plus[["more"]]])
VIEWS = [hourly, trips, profile, order, whole, mapped, weather, plus]
REFS = [
    "driver_stats:conv_rate",
    "driver_stats:avg_daily_trips",
    "trips:trips_a_day",
    "customer_profile:current_balance",
    "customer_profile:lifetime_trip_count",
    "order:order_is_success",
    "global_stats:num_rides",
    "global_stats:avg_ride_length",
    "field_mapping:feature_name",
    "plus:more",
    "plus:hundred_more",
]


def opened(folder: Path, offline_store: object) -> FeatureStore:
    return FeatureStore(
        config=RepoConfig(
            project="examples",
            provider="local",
            registry=str(folder / "registry.db"),
            offline_store=offline_store,
            online_store=None,
            repo_path=folder,
            entity_key_serialization_version=3,
        )
    )


@pytest.fixture(scope="module")
def stores(tmp_path_factory) -> Stores:
    folder = tmp_path_factory.mktemp("examples")
    orders = examples.create_orders_df(
        customers=CUSTOMERS, drivers=DRIVERS, start_date=START, end_date=END, order_count=30, locations=PLACES
    )
    orders["event_timestamp"] = pd.to_datetime(orders["event_timestamp"], utc=True)
    stats = examples.create_driver_hourly_stats_df(DRIVERS, START, END)
    tables = {
        "hourly": stats,
        "same_hourly": stats,
        "profile": examples.create_customer_daily_profile_df(CUSTOMERS, START, END),
        "orders": orders,
        "whole": examples.create_global_daily_stats_df(START, END),
        "mapped": examples.create_field_mapping_df(START, END),
        "weather": examples.create_location_stats_df(PLACES, START, END),
    }
    for name, rows in tables.items():
        aware = pd.to_datetime(rows["event_timestamp"], utc=True)
        rows.assign(event_timestamp=aware).to_parquet(folder / f"{name}.parquet")
    ours = opened(folder, SkewlessOfflineStoreConfig(data=folder))
    ours.apply([driver, customer, place, *VIEWS, shadows, chosen])
    return Stores(ours, opened(folder, "file"), orders)


def frame(stores: Stores) -> pd.DataFrame:
    columns = ["order_id", "customer_id", "driver_id", "origin_id", "destination_id", "event_timestamp"]
    asked = stores.orders[columns].sample(frac=1, random_state=3)
    return asked.assign(val_to_add=range(len(asked)))


def compared(stores: Stores, features: object, asked: pd.DataFrame, **options) -> pd.DataFrame:
    """Our answer, once it was found to hold Feast's."""
    ours, theirs = (
        store.get_historical_features(asked, features, **options).to_df() for store in (stores.ours, stores.feasts)
    )
    assert ours["order_id"].tolist() == asked["order_id"].tolist()
    inputs = [name for name in theirs.columns if name not in ours.columns]
    assert {name.rpartition("__")[2] for name in inputs} <= {"conv_rate"}, "what an on-demand view needs, Feast returns"
    theirs = theirs.drop(columns=inputs)
    assert sorted(ours.columns) == sorted(theirs.columns)
    assert len(theirs)
    mine = ours.set_index("order_id").loc[theirs["order_id"]].reset_index()[theirs.columns]
    pd.testing.assert_frame_equal(mine, theirs, check_dtype=False)
    return ours


@pytest.mark.parametrize("full", [True, False])
def test_views_of_all_shapes(stores, full):
    refs = REFS if full else [ref for ref in REFS if ref != "driver_stats:avg_daily_trips"]
    ours = compared(stores, refs, frame(stores), full_feature_names=full)
    names = [ref.replace(":", "__") if full else ref.split(":")[1] for ref in refs]
    assert set(names) <= set(ours.columns)
    assert ours[names].notna().any().all()


@pytest.mark.parametrize("full", [True, False])
@pytest.mark.parametrize("service", ["shadows", "chosen"])
def test_services(stores, service, full):
    full = full or service == "shadows"
    found = compared(stores, stores.ours.get_feature_service(service), frame(stores), full_feature_names=full)
    if service == "shadows":
        same = found["origin_id"] == found["destination_id"]
        assert (found["origin__temperature"] != found["destination__temperature"])[~same].any()
        pd.testing.assert_series_equal(
            found["origin__temperature"][same], found["destination__temperature"][same], check_names=False
        )
    else:
        assert "hundred_more" not in " ".join(found.columns)


def test_a_source_of_two_views_keeps_them_apart(stores):
    with pytest.raises(KeyError, match="conv_rate not found in projection trips"):
        stores.ours.get_historical_features(frame(stores), ["trips:conv_rate"])


def test_request_data_that_is_missing_is_named(stores):
    with pytest.raises(RequestDataNotFoundInEntityDfException, match="val_to_add"):
        stores.ours.get_historical_features(frame(stores).drop(columns="val_to_add"), REFS)


def test_an_arrow_frame_without_request_data_is_named(stores):
    """Feast itself looks at pandas frames only."""
    table = pa.Table.from_pandas(frame(stores).drop(columns="val_to_add"), preserve_index=False)
    with pytest.raises(RequestDataNotFoundInEntityDfException, match="val_to_add"):
        stores.ours.get_historical_features(table, REFS)


@pytest.mark.parametrize("where", ["saved/one.parquet", "saved/folder"])
def test_a_saved_dataset_is_what_was_retrieved(stores, where):
    job = stores.ours.get_historical_features(frame(stores), REFS, full_feature_names=True)
    storage = SavedDatasetFileStorage(where)
    saved = stores.ours.create_saved_dataset(job, where.replace("/", "_"), storage, tags={"env": "test"})
    again = stores.ours.get_saved_dataset(saved.name).to_arrow()
    assert set(job.metadata.features) == set(saved.features)
    for name in set(again.column_names) - {"event_timestamp"}:
        assert again[name].to_pylist() == job.to_arrow()[name].to_pylist(), name
    with pytest.raises(SavedDatasetLocationAlreadyExists):
        stores.ours.create_saved_dataset(job, "another", storage)
    with pytest.raises(SavedDatasetLocationAlreadyExists):
        stores.ours.create_saved_dataset(job, "another", SavedDatasetFileStorage("hourly.parquet"))


@dataclass
class OneView:
    """A view of its own table, applied in place of the last one."""

    stores: Stores
    folder: Path

    def write(self, table: pa.Table, *fields: Field, **options) -> None:
        pq.write_table(table, self.folder / "one.parquet")
        named = FeatureView(name="one", entities=[driver], schema=list(fields), source=source("one", **options))
        self.stores.ours.apply([named])


@pytest.fixture
def one(stores: Stores) -> Iterator[OneView]:
    registry: BaseRegistry = stores.ours.registry
    yield OneView(stores, Path(stores.ours.config.repo_path))
    registry.delete_feature_view("one", "examples")


@pytest.mark.parametrize("key", ["driver_id", "id"])
def test_a_backfill_wins_a_tie_and_loses_to_a_later_event(one, key):
    now, day = START.replace(tzinfo=None), timedelta(days=1)
    rows = [(1001, 10, now, now), (1001, 20, now, now + day), (1002, 30, now, now + day), (1002, 40, now + day, now)]
    table = pd.DataFrame(rows, columns=[key, "avg_daily_trips", "event_timestamp", "created"])
    mapping = {} if key == "driver_id" else {"field_mapping": {key: "driver_id"}}
    one.write(pa.Table.from_pandas(table), Field(name="avg_daily_trips", dtype=Int32), **mapping)
    asked = pd.DataFrame({"order_id": [1, 2], "driver_id": [1001, 1002], "event_timestamp": now + 2 * day})
    found = compared(one.stores, ["one:avg_daily_trips"], asked)
    assert found["avg_daily_trips"].tolist() == [20, 40]


T = [datetime(2024, 1, 1, 0, 0, n, tzinfo=UTC) for n in range(3)]
TYPES = {
    "Int32": (Int32, pa.array([1, 2, 3], pa.int32())),
    "Int64": (Int64, pa.array([1, 2**53 + 1, 3])),
    "Float32": (Float32, pa.array([0.1, 2.5, 3], pa.float32())),
    "Float64": (Float64, pa.array([0.1, 2.5, 3])),
    "String": (String, pa.array(["1", "zwei", ""])),
    "Bool": (Bool, pa.array([True, False, True])),
    "UnixTimestamp": (UnixTimestamp, pa.array(T, pa.timestamp("us", "UTC"))),
    "Array(Int32)": (Array(Int32), pa.array([[1], [2, 3], []], pa.list_(pa.int32()))),
    "Array(Int64)": (Array(Int64), pa.array([[1], [2**53 + 1], []])),
    "Array(Float64)": (Array(Float64), pa.array([[0.1], [2.5, 3], []])),
    "Array(String)": (Array(String), pa.array([["1"], ["zwei", ""], []])),
    "Array(Bool)": (Array(Bool), pa.array([[True], [False, True], []])),
    "Array(UnixTimestamp)": (Array(UnixTimestamp), pa.array([T[:1], T, []], pa.list_(pa.timestamp("us", "UTC")))),
}


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("named", TYPES)
def test_values_and_their_arrow_types_are_the_tables(one, named, missing):
    dtype, column = TYPES[named]
    column = pa.array([None, *column.to_pylist()[1:]], column.type) if missing else column
    times = pa.array([START] * 3, pa.timestamp("ns", "UTC"))
    table = pa.table({"driver_id": [1, 2, 3], "value": column, "event_timestamp": times, "created": times})
    one.write(table, Field(name="value", dtype=dtype))
    asked = pd.DataFrame({"driver_id": [3, 1, 2], "event_timestamp": END})
    found = one.stores.ours.get_historical_features(asked, ["one:value"]).to_arrow()["value"]
    assert found.to_pylist() == [column.to_pylist()[place] for place in (2, 0, 1)]
    assert found.type.equals(column.type) or pa.types.is_list(found.type)
