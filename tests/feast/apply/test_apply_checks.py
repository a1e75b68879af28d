"""What our stores refuse is refused before a registry is written: by `store.apply`, Feast's `apply` and `skewless apply`."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from feast import Entity, FeatureStore, FeatureView, Field, KafkaSource, PushSource, RequestSource, ValueType
from feast.batch_feature_view import batch_feature_view
from feast.data_format import JsonFormat
from feast.labeling.conflict_policy import ConflictPolicy
from feast.labeling.label_view import LabelView
from feast.on_demand_feature_view import on_demand_feature_view
from feast.stream_feature_view import StreamFeatureView, stream_feature_view
from feast.types import Float32, Float64, Int64, String, UnixTimestamp

from skewless.contract.errors import InvalidPlan
from skewless.definitions.expectations import BadExpectation
from skewless.feast.errors import FeastUnsupported
from skewless.project import apply
from skewless.runtime.errors import Untraceable
from tests.tables.car_store import NOW, CarStore, car, materialize, offline, online, view
from tests.tables.store_file import store_file

pytestmark = pytest.mark.filterwarnings(
    "ignore::RuntimeWarning:feast", "ignore::DeprecationWarning", "ignore::UserWarning"
)

X = Field(name="x", dtype=Float64)


@pytest.fixture(autouse=True)
def _state(tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKEWLESS_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("SKEWLESS_REDIS_URL", redis_url)


@pytest.fixture
def cars(tmp_path: Path) -> CarStore:
    return CarStore(tmp_path, sql=True)


def driver() -> Entity:
    return Entity(name="driver", join_keys=["driver"])


@pytest.fixture
def good(cars: CarStore) -> FeatureView:
    return view("good", cars.table({"plate": [7], "x": [2.0]}), X)


def stream(cars: CarStore, **options) -> StreamFeatureView:
    kafka = KafkaSource(
        name="kafka",
        kafka_bootstrap_servers="nowhere:9092",
        topic="trips",
        timestamp_field="event_timestamp",
        message_format=JsonFormat("plate int, x double"),
        batch_source=cars.table({"plate": [7], "x": [2.0]}, "stream"),
        watermark_delay_threshold=timedelta(minutes=5),
    )
    return StreamFeatureView(
        name="bad", entities=[car], ttl=timedelta(days=1), schema=[X], source=kafka, timestamp_field="event_timestamp",
        **options,
    )  # fmt: skip


def transforming(cars: CarStore) -> StreamFeatureView:
    def doubled(frame):
        return frame.assign(x=frame["x"] * 2)

    options = {"entities": [car], "ttl": timedelta(days=1), "schema": [X], "timestamp_field": "event_timestamp"}
    return stream_feature_view(source=stream(cars).stream_source, mode="pandas", **options)(doubled)


def tripled(frame):
    return frame.assign(x=frame["x"] * 3)


def on_demand(good: FeatureView, sent: Field, **options):
    @on_demand_feature_view(
        sources=[good, RequestSource(name="sent", schema=[sent])], schema=[Field(name="y", dtype=Float32)], **options
    )
    def bad(inputs: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"y": (inputs["x"] * 2).astype("float32")})

    return bad


REFUSED = {
    "an unknown expectation": (
        lambda cars, good: view("bad", good.batch_source, Field(name="x", dtype=Float64, tags={"expect_maximum": "3"})),
        BadExpectation,
        "'bad': tag 'expect_maximum' is unknown here; known are",
    ),
    "a default that is no number": (
        lambda cars, good: view("bad", good.batch_source, Field(name="x", dtype=Float64, tags={"default": "none"})),
        InvalidPlan,
        "'x'.*default is 'none'",
    ),
    "an unknown word": (
        lambda cars, good: view("bad", good.batch_source, X, tags={"known_by": "arrival"}),
        InvalidPlan,
        "'bad'.*known_by is 'arrival'",
    ),
    "a stream's transformation": (lambda cars, good: transforming(cars), InvalidPlan, "'doubled'.*transforms its source"),
    "a batch view's transformation": (
        lambda cars, good: batch_feature_view(
            source=good.batch_source, entities=[car], ttl=timedelta(days=1), schema=[X], mode="pandas"
        )(tripled),
        InvalidPlan,
        "'tripled'.*transforms its source; write the transformed rows to a table instead",
    ),
    "two types of one value": (
        lambda cars, good: on_demand(good, Field(name="plate", dtype=Float64)),
        InvalidPlan,
        "'bad'.*request input 'plate' is Float64 and the join key of that name is Int64; give both one type",
    ),
    "a tag without a function": (
        lambda cars, good: on_demand(good, Field(name="s", dtype=Float64), tags={"transform": "bad"}),
        InvalidPlan,
        "'bad'.*no function of the on-demand view's name",
    ),
    "labels by majority": (
        lambda cars, good: LabelView(
            name="bad", entities=[car], schema=[X], source=PushSource(name="p", batch_source=good.batch_source),
            conflict_policy=ConflictPolicy.MAJORITY_VOTE,
        ),
        FeastUnsupported,
        "conflict policy majority_vote of label view 'bad'",
    ),
    "a join key of unknown type": (
        lambda cars, good: FeatureView(name="bad", entities=[driver()], schema=[X], source=good.batch_source),
        InvalidPlan,
        "'bad'.*type of its join key 'driver' is unknown; give entity 'driver' a value_type",
    ),
}  # fmt: skip


def registered(cars: CarStore) -> dict[str, list[str]]:
    """The names in each table of the registry."""
    with closing(sqlite3.connect(cars.folder / "registry.db")) as file:
        tables = {"feature_views", "stream_feature_views", "on_demand_feature_views", "label_views"}
        found = {t: [name for (name,) in file.execute(f"SELECT feature_view_name FROM {t}")] for t in tables}
        return found | {"sources": [name for (name,) in file.execute("SELECT data_source_name FROM data_sources")]}


@pytest.mark.parametrize("what", REFUSED)
def test_a_refused_apply_leaves_the_registry_as_it_was(cars: CarStore, good: FeatureView, what: str):
    make, kind, message = REFUSED[what]
    store = cars.open()
    store.apply([car, good])
    before = registered(cars)
    also = view("also", cars.table({"plate": [7], "x": [5.0]}, "also"), X)
    bad = make(cars, good)
    with pytest.raises(kind, match=message):
        store.apply([car, driver(), also, bad])
    assert registered(cars) == before
    materialize(store)
    assert online(cars.open(), ["good:x"], plate=[7])["x"] == [2.0]


def test_what_is_refused_in_memory_is_not_written_later(tmp_path: Path):
    """A file registry is kept in memory until its commit, which another apply would make."""
    cars = CarStore(tmp_path)
    store = cars.open()
    source = cars.table({"plate": [7], "x": [2.0]})
    with pytest.raises(InvalidPlan):
        store.apply([car, view("bad", source, X, tags={"known_by": "arrival"})])
    store.apply([car, view("good", source, X)])
    assert [found.name for found in cars.open().list_feature_views()] == ["good"]


def test_a_function_that_cannot_be_traced_is_refused(cars: CarStore, good: FeatureView):
    (cars.folder / "transforms.py").write_text("def bad(x):\n    return {'y': x if x > 0 else -x}\n")
    with pytest.raises(Untraceable, match=r"'bad'.*line 2"):
        cars.open().apply([car, good, on_demand(good, Field(name="s", dtype=Float64))])
    assert not registered(cars)["feature_views"]


DEFINITIONS = """
from feast import Entity, FeatureView, Field, FileSource, ValueType
from feast.types import Float64

car = Entity(name="car", join_keys=["plate"], value_type=ValueType.INT64)
trips = FileSource(name="trips", path="trips", timestamp_field="event_timestamp")
good = FeatureView(name="good", entities=[car], schema=[Field(name="x", dtype=Float64)], source=trips)
"""
BAD = """
from definitions import car, trips
bad = FeatureView(name="bad", entities=[car], schema=[Field(name="x", dtype=Float64)], source=trips,
                  tags={"expect_happiness": "true"})
"""


@pytest.mark.timeout(600)
def test_the_verbs_refuse_the_whole(tmp_path: Path):
    repo = tmp_path / "feature_repo"
    repo.mkdir()
    (repo / "feature_store.yaml").write_text(store_file("cars"))
    (repo / "definitions.py").write_text(DEFINITIONS)
    (repo / "second.py").write_text("from feast import FeatureView, Field\nfrom feast.types import Float64\n" + BAD)
    with pytest.raises(apply.ApplyRefused, match="'bad': tag 'expect_happiness' is unknown here") as refused:
        apply.run(repo, at=NOW)
    assert "Traceback" not in str(refused.value)
    assert FeatureStore(repo_path=str(repo)).list_feature_views() == []
    (repo / "second.py").unlink()
    apply.run(repo, at=NOW)
    assert [found.name for found in FeatureStore(repo_path=str(repo)).list_feature_views()] == ["good"]


def test_a_mapped_join_key_needs_no_value_type(cars: CarStore):
    user = Entity(name="u", join_keys=["user_id"])
    table = {"USERID": [1, 1, 2], "x": [100, 200, 300]}
    hours = [NOW - timedelta(hours=hours) for hours in (3, 2, 1)]
    table["event_timestamp"] = pa.array(hours, pa.timestamp("us", "UTC"))
    source = cars.table(table, field_mapping={"USERID": "user_id"})
    typed = view("v", source, Field(name="x", dtype=Int64), entities=[user])
    bare = FeatureView(name="bare", entities=[user], source=source)
    store = cars.open()
    store.apply([user, typed, bare])
    materialize(store)
    for name in ("v", "bare"):
        assert offline(store, [f"{name}:x"], user_id=[1, 2])["x"].to_pylist() == [200, 300]
        assert online(store, [f"{name}:x"], user_id=[1, 2])["x"] == [200, 300]
    assert [field.name for field in store.get_feature_view("bare").features] == ["x"]


def test_a_stream_without_a_transformation_is_taken(cars: CarStore):
    store = cars.open()
    store.apply([car, stream(cars)])
    materialize(store)
    assert online(store, ["bad:x"], plate=[7])["x"] == [2.0]
    assert offline(store, ["bad:x"], plate=[7])["x"].to_pylist() == [2.0]
    store.write_to_online_store("bad", pd.DataFrame({"plate": [7], "x": [3.0], "event_timestamp": [NOW]}))
    assert online(store, ["bad:x"], plate=[7])["x"] == [3.0]


def test_a_transformation_that_an_older_registry_has_is_refused_on_a_push_too(cars: CarStore):
    store = cars.open()
    store.apply([car])
    bad = transforming(cars)
    bad.entity_columns = [Field(name="plate", dtype=Int64)]
    store.registry.apply_feature_view(bad, "cars")
    with pytest.raises(InvalidPlan, match=r"'doubled'.*transforms its source"):
        store.write_to_online_store("doubled", pd.DataFrame({"plate": [7], "x": [3.0], "event_timestamp": [NOW]}))


def test_labels_are_taken(cars: CarStore):
    source = PushSource(name="labels", batch_source=cars.table({"plate": [7], "label": ["a"]}, "labels"))
    labels = LabelView(
        name="fraud",
        entities=[car],
        schema=[Field(name="plate", dtype=Int64), Field(name="label", dtype=String)],
        source=source,
    )
    store = cars.open()
    store.apply([car, labels])
    assert offline(store, ["fraud:label"], plate=[7])["label"].to_pylist() == ["a"]
    store.push("labels", pd.DataFrame({"plate": [7], "label": ["b"], "event_timestamp": [NOW]}))
    assert online(store, ["fraud:label"], plate=[7])["label"] == ["b"]


def test_value_types_of_the_registry_count(cars: CarStore):
    """An entity that was applied before need not be applied again."""
    store = cars.open()
    store.apply([Entity(name="driver", join_keys=["driver"], value_type=ValueType.INT64)])
    source = cars.table({"driver": [7], "x": [2.0]})
    store.apply([FeatureView(name="v", entities=[driver()], schema=[X], source=source)])
    assert [column.name for column in store.get_feature_view("v").entity_columns] == ["driver"]


def test_an_apply_says_that_times_are_whole_seconds_through_the_sdk(cars: CarStore, caplog: pytest.LogCaptureFixture):
    source = cars.table({"plate": [7], "paid": pa.array([NOW], pa.timestamp("us", "UTC"))})
    cars.open().apply([car, view("trips", source, Field(name="paid", dtype=UnixTimestamp))])
    assert "gives times in whole seconds, offline and online (trips.paid)" in caplog.text
