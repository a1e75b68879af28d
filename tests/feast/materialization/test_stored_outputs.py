"""On-demand views whose outputs are stored: computed when they are written, by the traced graph where there is one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from feast import FeatureStore, FeatureView, Field, RequestSource
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Float32, Float64

from skewless.contract.timestamps import MICROSECOND
from skewless.definitions.data_folder import settings_of
from skewless.feast.materialization.stored_outputs import (
    ArrivalSpan,
    OutputsNotComputable,
    materialize_outputs,
    stored_outputs,
)
from skewless.feast.online_store import client_of, online_writer
from skewless.online.store.online_project import OnlineProject
from skewless.state.database import StateDatabase
from tests.oracles import entity_key
from tests.tables.car_store import HOUR, NOW, CarStore, car, instants, materialize, offline, online, view

pytestmark = pytest.mark.filterwarnings(
    "ignore::RuntimeWarning:feast", "ignore::DeprecationWarning", "ignore::UserWarning"
)
ROOT = """
def root(*, x):
    xp = x.__array_namespace__()
    return {"half": xp.astype(xp.sqrt(x), xp.float32)}
"""


@pytest.fixture
def cars(tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> CarStore:
    monkeypatch.setenv("SKEWLESS_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("SKEWLESS_REDIS_URL", redis_url)
    return CarStore(tmp_path, sql=True)


def stored(name: str, source, mode: str = "pandas", **options):
    dtype = Float64 if (name, mode) == ("od", "python") else Float32
    options = {"entities": [car], "schema": [Field(name="half", dtype=dtype)], "mode": mode} | options

    def in_pandas(inputs: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"half": (inputs["x"] / 2).astype("float32")})

    def in_python(inputs):
        return {"half": [value / 2 for value in inputs["x"]]}

    return on_demand_feature_view(sources=[source], name=name, write_to_online_store=True, **options)(
        in_pandas if mode == "pandas" else in_python
    )


def applied(cars: CarStore, *options) -> FeatureStore:
    trips = view("trips", cars.table({"plate": [7, 8], "x": [2.0, 3.0]}), Field(name="x", dtype=Float64))
    store = cars.open()
    store.apply([car, trips, stored("od", trips, *options), stored("root", trips, *options)])
    return store


@pytest.mark.parametrize("mode", ["pandas", "python"])
def test_materialize_computes_and_stores_them(cars: CarStore, mode: str):
    (cars.folder / "transforms.py").write_text(ROOT)
    store = applied(cars, mode)
    assert online(store, ["od:half"], plate=[7])["half"] == [None]
    materialize(store)
    assert online(store, ["od:half"], plate=[8, 7, 9])["half"] == [1.5, 1.0, None]
    roots = np.sqrt(np.array([2, 3])).astype("f4").tolist()
    assert online(store, ["root:half"], plate=[7, 8])["half"] == roots
    assert offline(store, ["root:half"], plate=[7, 8])["half"].to_pylist() == roots
    assert online(store, ["trips:x", "root:half"], plate=[7]) == {"plate": [7], "x": [2.0], "half": roots[:1]}


def outputs_of(store: FeatureStore, name: str = "od", **options):
    """What `skewless materialize` does for one view."""
    state = StateDatabase(settings_of(store.config).state_url)
    project = OnlineProject(store.project, online_writer(store.config), state)
    span = ArrivalSpan(**{"end": NOW, **options})
    counts = materialize_outputs(stored_outputs(store, name), project, span, clock=lambda: NOW + HOUR)
    state.close()
    return counts


def test_the_verb_and_feast_store_the_same(cars: CarStore):
    store = applied(cars)
    key = entity_key("cars", {"plate": ("Int64", 7)})
    materialize(store)
    client = client_of(store.config)
    by_feast = client.hget(key, "od")
    client.hdel(key, "od")
    assert outputs_of(store, full=True).written
    by_verb = client.hget(key, "od")
    assert (by_verb[:8], by_verb[16:]) == (by_feast[:8], by_feast[16:]), "but for when it was computed"
    assert outputs_of(store) is None


def test_another_transform_computes_all_anew(cars: CarStore):
    transforms = cars.folder / "transforms.py"
    transforms.write_text(ROOT)
    store = applied(cars)
    materialize(store)
    transforms.write_text(ROOT.replace("xp.sqrt(x)", "x / 8"))
    store = applied(cars)
    assert outputs_of(store, "root").written == 2
    assert online(store, ["root:half"], plate=[7, 8])["half"] == [0.25, 0.375]
    assert outputs_of(store, "root") is None


def test_late_rows_corrections_and_other_tables_count_and_a_row_that_is_gone_is_gone(cars: CarStore):
    ago = [NOW - n * HOUR for n in (9, 5, 4, 3)]
    made = {"event_timestamp": instants(ago[0], ago[0]), "created": instants(ago[0], ago[0]), "gone": [False] * 2}
    known = {"created_timestamp_column": "created"}
    trips = view(
        "trips",
        cars.table({"plate": [7, 8], "x": [2.0, 3.0], **made}, **known),
        Field(name="x", dtype=Float64),
        tags={"known_by": "created_timestamp", "deleted_field": "gone"},
    )
    cities = cars.table({"z": [10.0], "event_timestamp": instants(ago[0])}, name="city")
    city = FeatureView(name="city", entities=[], ttl=24 * HOUR, schema=[Field(name="z", dtype=Float64)], source=cities)

    def total(inputs: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"total": inputs["x"] + inputs["z"]})

    options = {"entities": [car], "schema": [Field(name="total", dtype=Float64)], "mode": "pandas"}
    od = on_demand_feature_view(sources=[trips, city], name="od", write_to_online_store=True, **options)(total)
    store = cars.open()
    store.apply([car, trips, city, od])

    def totals() -> list[float | None]:
        return online(store, ["od:total"], plate=[7, 8])["total"]

    assert outputs_of(store, end=ago[1]).written == 2
    assert totals() == [12.0, 13.0]
    late = {"event_timestamp": instants(ago[0] + HOUR), "created": instants(ago[2]), "gone": [False]}
    (cars.folder / "trips.parquet.parts").mkdir()
    cars.table({"plate": [7], "x": [5.0], **late}, name="trips.parquet.parts/late")
    assert outputs_of(store, end=ago[2]).read == 1, "no other car's row arrived"
    assert totals() == [15.0, 13.0]
    cars.table({"z": [20.0], "event_timestamp": instants(ago[3])}, name="city")
    assert outputs_of(store, end=ago[3]).read == 2, "the city's row is in every car's output"
    assert totals() == [25.0, 23.0]
    end = {"event_timestamp": instants(NOW - HOUR), "created": instants(NOW - HOUR), "gone": [True]}
    cars.table({"plate": [8], "x": [None], **end}, name="trips.parquet.parts/gone")
    outputs_of(store)
    assert totals() == [25.0, None], "of what is null"
    assert np.isnan(offline(store, ["od:total"], plate=[8])["total"].to_pylist()[0] or np.nan)


def test_outputs_with_request_inputs_are_stored_by_writes_alone(cars: CarStore):
    sent = RequestSource(name="sent", schema=[Field(name="x", dtype=Float64)])
    store = cars.open()
    store.apply([car, stored("od", sent)])
    with pytest.raises(OutputsNotComputable, match=r"'od' are stored by writes alone: it has request inputs"):
        outputs_of(store)


def test_a_write_computes_and_stores_them(cars: CarStore):
    store = applied(cars)
    store.write_to_online_store("od", pd.DataFrame({"plate": [7], "x": [11.0]}))
    assert online(store, ["od:half"], plate=[7])["half"] == [5.5]
    store.write_to_online_store("od", pd.DataFrame({"plate": [7], "half": [9.0]}), transform_on_write=False)
    assert online(store, ["od:half"], plate=[7])["half"] == [9.0]


def test_made_of_a_write_alone(cars: CarStore):
    sent = RequestSource(name="sent", schema=[Field(name="x", dtype=Float64)])
    store = cars.open()
    store.apply([car, stored("od", sent)])
    store.write_to_online_store("od", pd.DataFrame({"plate": [7, 8], "x": [4.0, 6.0]}))
    assert online(store, ["od:half"], plate=[7, 8], x=[0.0, 0.0])["half"] == [2.0, 3.0]


def test_a_partition_is_computed_in_whatever_order_it_comes():
    start, end = NOW - 2 * HOUR, NOW - HOUR
    span = ArrivalSpan(end, start, partition=True)
    assert span.after(None).start is span.after(start - HOUR).start is None
    late = span.after(NOW)
    assert (late.start, late.end) == (start - MICROSECOND, NOW)
    assert span.after(end).end == end
    assert ArrivalSpan(end, start).after(NOW) == ArrivalSpan(end, start)
