"""An on-demand view sees its own sources, offline as online, and a caller gets the columns that were asked for."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from feast import FeatureService, FeatureStore, Field, RequestSource
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Float64, Int64, String

from tests.tables.car_store import CarStore, car, materialize, offline, online, view

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning:feast", "ignore::DeprecationWarning")


@pytest.fixture(autouse=True)
def _state(tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKEWLESS_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("SKEWLESS_REDIS_URL", redis_url)


@pytest.fixture
def cars(tmp_path: Path) -> CarStore:
    return CarStore(tmp_path)


X, Z = Field(name="x", dtype=Float64), Field(name="z", dtype=Int64)


def sent(*fields: Field) -> RequestSource:
    return RequestSource(name="sent", schema=list(fields))


def seeing(name: str, *sources, mode: str = "pandas"):
    """An on-demand view whose outputs are the names of the columns that it sees, and two more."""
    schema = [Field(name="saw", dtype=String), Field(name="half", dtype=Float64), Field(name="twice", dtype=Float64)]

    def in_pandas(inputs: pd.DataFrame) -> pd.DataFrame:
        saw = " ".join(sorted(inputs.columns))
        x = inputs["x"] if "x" in inputs else inputs["s"]
        return pd.DataFrame({"saw": [saw] * len(inputs), "half": x / 2, "twice": x * 2})

    def in_python(inputs):
        x = inputs["x"]
        return {
            "saw": [" ".join(sorted(inputs))] * len(x),
            "half": [value / 2 for value in x],
            "twice": [value * 2 for value in x],
        }

    return on_demand_feature_view(sources=list(sources), schema=schema, mode=mode, name=name)(
        in_pandas if mode == "pandas" else in_python
    )


@pytest.fixture(params=["pandas", "python"])
def store(cars: CarStore, request: pytest.FixtureRequest) -> FeatureStore:
    """Two views on one table, and an on-demand view of the first and of a request input."""
    table = cars.table({"plate": [7], "x": [2.0], "z": [5], "label": [1.0]})
    a, b = view("a", table, X), view("b", table, Z)
    store = cars.open()
    od = seeing("od", a, sent(Field(name="s", dtype=Float64)), mode=request.param)
    both = FeatureService(name="both", features=[b, od])
    store.apply([car, a, b, od, both])
    materialize(store)
    return store


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("features", [["a:x", "b:z", "od:saw"], ["od:saw"], ["b:z", "od:saw", "od:half"]])
def test_an_on_demand_view_sees_the_same_offline_and_online(store: FeatureStore, features: list[str], full: bool):
    name = "od__saw" if full else "saw"
    trained = offline(store, features, full, plate=[7], s=[1.0], label=[0.5])[name].to_pylist()
    served = online(store, features, full, plate=[7], s=[1.0])[name]
    assert trained == served == ["a__x plate s x"]


@pytest.mark.parametrize("full", [False, True])
def test_what_is_returned_is_what_was_asked_for(store: FeatureStore, full: bool):
    for features in (["od:half"], ["od:twice", "b:z"], ["a:x", "od:half"], ["b:z", "od:half", "a:x"]):
        table = offline(store, features, full, plate=[7], s=[1.0])
        names = {ref.replace(":", "__") if full else ref.partition(":")[2] for ref in features}
        assert set(table.column_names) == {"plate", "s", "event_timestamp"} | names
        assert set(online(store, features, full, plate=[7], s=[1.0])) == {"plate"} | names
    service = store.get_feature_service("both")
    table = offline(store, service, plate=[7], s=[1.0])
    assert table.column_names == ["plate", "s", "event_timestamp", "z", "saw", "half", "twice"]


def test_batches_and_saved_files_have_the_same_columns(store: FeatureStore, tmp_path: Path):
    frame = pd.DataFrame({"plate": [7], "s": [1.0], "event_timestamp": [pd.Timestamp.now("UTC")]})
    job = store.get_historical_features(frame, ["od:half"])
    assert job.to_df().columns.tolist() == ["plate", "s", "event_timestamp", "half"]
    assert [batch.schema.names for batch in job.to_arrow_batches()] == [["plate", "s", "event_timestamp", "half"]]
    plain = store.get_historical_features(frame, ["b:z"])
    assert [batch.schema.names[-1] for batch in plain.to_arrow_batches()] == ["z"]
    assert job.metadata.features == ["od:half"]


def test_a_join_key_may_be_a_request_input(cars: CarStore):
    v = view("v", cars.table({"plate": [7, 8], "x": [2.0, 3.0]}), X)

    @on_demand_feature_view(
        sources=[v, sent(Field(name="plate", dtype=Int64))], schema=[Field(name="y", dtype=Float64)], name="od"
    )
    def od(inputs: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"y": inputs["x"] * inputs["plate"]})

    store = cars.open()
    store.apply([car, v, od])
    materialize(store)
    for features in (["v:x", "od:y"], ["od:y"]):
        assert offline(store, features, plate=[7, 8])["y"].to_pylist() == [14.0, 24.0]
        answer = online(store, features, plate=[7, 8])
        assert (answer["y"], answer["plate"]) == ([14.0, 24.0], [7, 8])


def test_features_of_the_request_alone_are_served(cars: CarStore):
    store = cars.open()
    od = seeing("od", sent(Field(name="s", dtype=Float64)))
    store.apply([od])
    features = ["od:half", "od:saw"]
    assert online(store, features, s=[3.0, 4.0]) == {"half": [1.5, 2.0], "saw": ["s", "s"]}
    assert offline(store, features, s=[3.0, 4.0])["half"].to_pylist() == [1.5, 2.0]
