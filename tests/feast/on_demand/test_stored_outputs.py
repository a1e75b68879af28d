"""On-demand views whose outputs are stored: computed when they are written, by the traced graph where there is one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from feast import FeatureStore, Field, RequestSource
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Float32, Float64

from tests.tables.car_store import CarStore, car, materialize, offline, online, view

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
