"""One value of a request that is a join key and an input of a model: in the SDK, the training set, and over HTTP."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import FeatureService, Field, RequestSource
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Float32, Float64, Int64

from skewless.contract.plan import Field as PlanField
from skewless.contract.timestamps import to_micros
from skewless.definitions.compiler import compile_service
from skewless.model.conversion.onnx_import import ImportOptions
from skewless.model.publishing import publish
from skewless.model.publishing.publish import VersionPlace
from skewless.model.training import training_set
from skewless.model.training.training_set import TrainingSet
from tests.feast.apply.timed_project import model
from tests.services.predict_server import serving, settings_of
from tests.tables.car_store import NOW, CarStore, car, instants, materialize, offline, online, view

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning:feast", "ignore::DeprecationWarning")
TRANSFORMS = """
def od(*, x, plate):
    xp = x.__array_namespace__()
    return {"y": xp.astype(x * plate, xp.float32)}
"""


@pytest.mark.timeout(600)
def test_a_join_key_is_a_feature_too(tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SKEWLESS_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("SKEWLESS_REDIS_URL", redis_url)
    (tmp_path / "transforms.py").write_text(TRANSFORMS)
    cars = CarStore(tmp_path)
    v = view("v", cars.table({"plate": [7, 8], "x": [2.0, 3.0]}), Field(name="x", dtype=Float64))
    sent = RequestSource(name="sent", schema=[Field(name="plate", dtype=Int64)])

    @on_demand_feature_view(sources=[v, sent], schema=[Field(name="y", dtype=Float32)], name="od")
    def od(inputs: pd.DataFrame) -> pd.DataFrame:
        pass

    store = cars.open()
    store.apply([car, v, od, FeatureService(name="priced", features=[od, v])])
    materialize(store)
    service = store.get_feature_service("priced")
    assert offline(store, service, plate=[7, 8])["y"].to_pylist() == [14.0, 24.0]
    assert online(store, service, plate=[7, 8])["y"] == [14.0, 24.0]

    compiled = compile_service(store, "priced", tmp_path)
    assert compiled.plan.request == compiled.plan.join_keys == (PlanField("plate", "Int64"),)
    spine = pa.table({"plate": [7, 8], "event_timestamp": instants(NOW, NOW), "late": [True, False]})
    training_set.run(compiled, spine, tmp_path / "training")
    assert pq.read_table(tmp_path / "training" / "data.parquet")["od__y"].to_pylist() == [14.0, 24.0]
    place = VersionPlace(tmp_path / "state" / "models", "priced")
    publish.run_onnx(model(), TrainingSet(tmp_path / "training"), place, created_at=NOW, options=ImportOptions())
    with serving(settings_of(tmp_path / "state", redis_url)) as live:
        live.clock.now = to_micros(datetime.now(UTC))
        rows = {"rows": [{"plate": 7}, {"plate": 8}], "explain": "features"}
        answer = live.client.post("/v1/models/priced/predict", json=rows)
        assert answer.status_code == 200, answer.text
        assert [row["od__y"]["value"] for row in answer.json()["features"]] == [14.0, 24.0]
