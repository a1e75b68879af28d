"""Feast's registry compiled to a plan: what a data scientist wrote, and what is refused by name."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pandas as pd
import pytest
from feast import Entity, FeatureService, FeatureStore, FeatureView, FileSource, PushSource, RequestSource, ValueType
from feast import Field as FeastField
from feast.infra.offline_stores.redshift_source import RedshiftSource
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Array, Bool, Float32, Float64, Int64, String, UnixTimestamp

from skewless.contract.errors import InvalidPlan
from skewless.contract.model.signature import MatrixSignature
from skewless.contract.plan import Field, JoinKey, ModelColumn, RequestInput, StoredFeature, TransformOutput
from skewless.definitions.compiler import compile_service, compile_view, source_of, stored_views, view_of
from skewless.offline.tables.source import TableSource
from skewless.runtime.errors import UnknownFeatureView, Untraceable

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning:feast", "ignore::DeprecationWarning")
STORE = """
project: scratch
provider: local
registry: {{registry_type: sql, path: "sqlite:///{folder}/registry.db"}}
offline_store: {offline}
online_store: {{type: sqlite, path: "{folder}/online.db"}}
entity_key_serialization_version: 3
"""
TRANSFORMS = """
def rush(*, mean, origin_age__count, hour):
    xp = mean.__array_namespace__()
    return {"swell": xp.astype(mean * hour + origin_age__count, xp.float32)}
"""
HOUR = timedelta(hours=1)
origin = Entity(name="origin", join_keys=["origin"], value_type=ValueType.STRING)
number = Entity(name="number", join_keys=["flight_number"], value_type=ValueType.INT64)


def table(name: str, **options) -> FileSource:
    created = options.pop("created", "created_timestamp")
    place = {"path": f"{name}/", "timestamp_field": "event_timestamp", "created_timestamp_column": created} | options
    return FileSource(name=name, **place)


def view(name: str, *features: FeastField, entities=(origin,), source=None, **options) -> FeatureView:
    schema = list(features) or [FeastField(name="mean", dtype=Float32)]
    return FeatureView(name=name, entities=list(entities), schema=schema, source=source or table(name), **options)


delays = view(
    "delays",
    FeastField(name="mean", dtype=Float32, tags={"default": "-1.5"}),
    FeastField(name="gate", dtype=String),
    FeastField(name="last", dtype=UnixTimestamp, tags={"default": "0"}),
    ttl=HOUR,
    tags={"known_by": "created_timestamp", "deleted_field": "gone"},
    source=table("delays", field_mapping={"avg": "mean", "airport": "origin"}),
)
ages = view("ages", FeastField(name="count", dtype=Int64), source=table("ages", created=""))
legs = view(
    "legs",
    FeastField(name="miles", dtype=Float64),
    entities=(origin, number),
    source=PushSource(name="legs_push", batch_source=table("legs")),
)
city = view("city", FeastField(name="open", dtype=Bool), entities=())
hidden = view("hidden", online=False)
request = RequestSource(name="request", schema=[FeastField(name="hour", dtype=Int64)])


@on_demand_feature_view(
    sources=[delays[["mean"]], ages.with_name("origin_age"), request],
    schema=[FeastField(name="swell", dtype=Float32)],
    mode="pandas",
)
def rush(inputs: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"swell": inputs["mean"].astype("float32")})


def service(name: str, *features) -> FeatureService:
    return FeatureService(name=name, features=list(features))


other_end = delays.with_name("destination_delays").with_join_key_map({"origin": "destination"})
SERVICES = [
    service("full", rush, delays[["mean", "last"]], other_end[["mean"]], legs, city),
    service("texts", delays[["gate"]]),
]
OBJECTS = [origin, number, delays, ages, legs, city, hidden, rush, *SERVICES]


def scratch(
    folder: Path,
    objects=(),
    *,
    offline: str = "{type: skewless.feast.SkewlessOfflineStore}",
    transforms: str = TRANSFORMS,
) -> FeatureStore:
    folder.mkdir(exist_ok=True)
    (folder / "feature_store.yaml").write_text(STORE.format(folder=folder, offline=offline))
    (folder / "transforms.py").write_text(transforms)
    store = FeatureStore(repo_path=str(folder))
    if objects:
        store.apply(list(objects))
    return store


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> FeatureStore:
    return scratch(tmp_path_factory.mktemp("definitions"), OBJECTS)


DATA = Path("/data")


def test_a_service_is_a_plan(store: FeatureStore):
    plan = compile_service(store, "full", DATA).plan
    assert (plan.name, plan.project) == ("full", "scratch")
    assert plan.request == (Field("hour", "Int64"),)
    assert plan.columns == (
        ModelColumn("rush__swell", TransformOutput("rush", "swell")),
        ModelColumn("delays__mean", StoredFeature("delays", "mean"), -1.5),
        ModelColumn("delays__last", StoredFeature("delays", "last"), 0.0),
        ModelColumn("destination_delays__mean", StoredFeature("destination_delays", "mean"), -1.5),
        ModelColumn("legs__miles", StoredFeature("legs", "miles")),
        ModelColumn("city__open", StoredFeature("city", "open")),
    )
    assert sorted(view.name for view in plan.views) == ["city", "delays", "destination_delays", "legs", "origin_age"]


def test_views_with_their_ttl_rule_and_keys(store: FeatureStore):
    plan = compile_service(store, "full", DATA).plan
    found = plan.view("delays")
    assert found.fields == (Field("mean", "Float32"), Field("gate", "String"), Field("last", "UnixTimestamp"))
    assert (found.ttl_us, found.known_by, found.deleted_field) == (3_600_000_000, "created_timestamp", "gone")
    assert found.join_keys == (JoinKey("origin", "origin", "String"),)
    alias = plan.view("destination_delays")
    assert (alias.stored_as, alias.join_keys) == ("delays", (JoinKey("destination", "origin", "String"),))
    assert (alias.fields, alias.ttl_us, alias.deleted_field) == (found.fields, found.ttl_us, "gone")
    assert plan.view("origin_age").stored_as == "ages"
    assert plan.view("origin_age").known_by == "event_timestamp", "Feast's own meaning where nothing is said"
    assert set(plan.view("legs").join_keys) == {
        JoinKey("origin", "origin", "String"),
        JoinKey("flight_number", "flight_number", "Int64"),
    }
    assert (plan.view("city").join_keys, plan.view("city").ttl_us) == ((), 0)


def test_transforms_take_features_by_short_or_full_name(store: FeatureStore):
    compiled = compile_service(store, "full", DATA)
    (transform,) = compiled.plan.transforms
    assert transform.inputs == (
        ("mean", StoredFeature("delays", "mean")),
        ("origin_age__count", StoredFeature("origin_age", "count")),
        ("hour", RequestInput("hour")),
    )
    assert transform.outputs == (Field("swell", "Float32"),)
    assert len(transform.digest) == 64
    assert compiled.transforms


def test_sources_by_the_names_of_the_plan(store: FeatureStore):
    sources = compile_service(store, "full", DATA).sources
    renamed = (("mean", "avg"), ("origin", "airport"))
    mine = TableSource("delays", DATA / "delays", "event_timestamp", "created_timestamp", renamed)
    assert sources["delays"] == sources["destination_delays"] == mine
    assert sources["origin_age"] == TableSource("ages", DATA / "ages", "event_timestamp", None)
    assert sources["legs"].path == DATA / "legs", "a push source is read through its batch source"


def test_compiling_again_gives_the_same_plan(store: FeatureStore):
    first, again = (compile_service(store, "full", DATA) for _ in range(2))
    assert first == again
    assert first.plan.fingerprint == again.plan.fingerprint


def test_a_view_is_materialized_under_its_own_name(store: FeatureStore):
    found, source = compile_view(store, store.get_feature_view("delays"), DATA)
    assert (found.name, found.stored_as, found.join_keys) == (
        "delays",
        "delays",
        (JoinKey("origin", "origin", "String"),),
    )
    assert source.path == DATA / "delays"


def test_online_views_by_name(store: FeatureStore):
    assert [view.name for view in stored_views(store)] == ["ages", "city", "delays", "legs"]
    assert [view.name for view in stored_views(store, ["legs", "ages"])] == ["legs", "ages"]
    for name in ("hidden", "nothing"):
        with pytest.raises(UnknownFeatureView, match=f"'{name}'; there are ages, city, delays, legs$"):
            stored_views(store, [name])


def test_an_unknown_service_is_refused(store: FeatureStore):
    with pytest.raises(InvalidPlan, match=r"'fuller'.*run `skewless apply`"):
        compile_service(store, "fuller", DATA)


def test_a_model_of_one_matrix_takes_no_texts(store: FeatureStore):
    plan = compile_service(store, "texts", DATA).plan
    with pytest.raises(InvalidPlan, match="'delays__gate' is a String; models of one matrix take numbers"):
        MatrixSignature(plan)


def test_the_store_says_what_makes_a_row_known(tmp_path: Path):
    offline = "{type: skewless.feast.SkewlessOfflineStore, known_by: created_timestamp}"
    config = scratch(tmp_path, offline=offline).config
    assert view_of(config, ages, ages.projection).known_by == "created_timestamp"
    tagged = view("ages", tags={"known_by": "event_timestamp"})
    assert view_of(config, tagged, tagged.projection).known_by == "event_timestamp"
    wrong = view("ages", tags={"known_by": "arrival"})
    with pytest.raises(InvalidPlan, match=r"'ages'.*known_by is 'arrival', not created_timestamp or event_timestamp"):
        view_of(config, wrong, wrong.projection)


REFUSED = {
    "a list for a model": (
        [view("v", FeastField(name="many", dtype=Array(Int64)))],
        InvalidPlan,
        r"'v__many' is a Array\(Int64\); models take numbers and texts",
    ),
    "a default that is no number": (
        [view("v", FeastField(name="mean", dtype=Float32, tags={"default": "none"}))],
        InvalidPlan,
        "'mean'.*default is 'none', which is not a number",
    ),
    "a file on a machine of no known kind": (
        [view("v", source=table("v", path="nowhere://bucket/v"))],
        InvalidPlan,
        "'v'.*nowhere://bucket/v, which cannot be opened",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_service_that_cannot_be_compiled_is_refused_by_name(tmp_path: Path, what: str):
    views, kind, told = REFUSED[what]
    with pytest.raises(kind, match=told):
        tried(tmp_path, TRANSFORMS, *views)


def test_a_source_that_is_no_file_is_refused():
    source = RedshiftSource(name="r", table="t", timestamp_field="event_timestamp")
    with pytest.raises(InvalidPlan, match=r"'v'.*is a RedshiftSource; use a FileSource"):
        source_of(view("v", source=source), DATA)


def on_demand(name: str, *requests: FeastField, sources=(delays,)):
    def body(inputs: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"swell": inputs["mean"].astype("float32")})

    body.__name__ = name
    asked = RequestSource(name=f"{name}_request", schema=list(requests) or [FeastField(name="hour", dtype=Int64)])
    schema = [FeastField(name="swell", dtype=Float32)]
    return on_demand_feature_view(sources=[*sources, asked], schema=schema, mode="pandas")(body)


def tried(folder: Path, transforms: str, *views) -> None:
    others = [view for view in (delays, ages) if view.name not in {added.name for added in views}]
    store = scratch(folder, [origin, *others, *views, service("s", *views)], transforms=transforms)
    compile_service(store, "s", DATA)


def test_an_on_demand_view_needs_its_function(tmp_path: Path):
    with pytest.raises(InvalidPlan, match=r"'calm'.*no traced graph of it; write a function"):
        tried(tmp_path, TRANSFORMS, on_demand("calm"))


def test_a_function_that_cannot_be_traced_is_refused(tmp_path: Path):
    with pytest.raises(Untraceable, match=r"'calm'.*line 2 \(`if mean > 0:"):
        tried(tmp_path, "def calm(*, mean):\n    if mean > 0:\n        return {'swell': mean}", on_demand("calm"))


def test_one_request_input_has_one_type(tmp_path: Path):
    source = "".join(f"def {name}(*, mean, hour):\n    return {{'swell': mean}}\n" for name in ("calm", "storm"))
    storm = on_demand("storm", FeastField(name="hour", dtype=Float64))
    with pytest.raises(InvalidPlan, match=r"'storm'.*'hour' is declared as Int64 and Float64"):
        tried(tmp_path, source, on_demand("calm"), storm)
