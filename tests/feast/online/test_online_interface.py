"""The rest of Feast's online interface: asynchronous, versioned, refused, and rows that cannot be read."""

from __future__ import annotations

import asyncio
import logging
from contextlib import closing
from datetime import timedelta

import pandas as pd
import pytest
from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, FileSource, PushSource, ValueType
from feast.data_source import PushMode
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.types import Float32, Int64

from skewless.contract.errors import CorruptRow
from skewless.contract.storage.catalog import catalog_key, removal_field
from skewless.feast.errors import FeastUnsupported
from skewless.online.store.connection import RedisUnreachable, connect
from skewless.online.store.redis_errors import UnwritableKeys
from tests.feast.online_features import answers, ask, push, write_tables
from tests.oracles import entity_key
from tests.tables.scratch_project import HOUR, NOW, STORE, ScratchProject

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning:feast", "ignore::DeprecationWarning")
NOTHING, INVALID = (None, "NOT_FOUND"), (None, "INVALID")


def frame(tails: list[str], fuel: list[float], event=NOW - HOUR) -> pd.DataFrame:
    columns = {"tailnum": tails, "fuel": fuel, "gate": [7] * len(tails)}
    return pd.DataFrame(columns | {"event_timestamp": [event] * len(tails), "created_timestamp": [event] * len(tails)})


def key(tail: str) -> bytes:
    return entity_key("scratch", {"tailnum": ("String", tail)})


def entity(tail: str) -> EntityKey:
    return EntityKey(join_keys=["tailnum"], entity_values=[Value(string_val=tail)])


def test_the_asynchronous_half_answers_as_the_other(project: ScratchProject):
    write_tables(project)
    store = project.store()
    store.materialize(NOW - timedelta(days=30), NOW)
    service = store.get_feature_service("everything")
    entities = {"tailnum": ["N1", "N2", "?"], "carrier": ["AA"] * 3, "number": [1, 2, 9], "hour": [3, 3, 3]}

    async def both():
        await store.initialize()
        await store.push_async("tell", frame(["N7", "N1"], [7.5, 8.5]), to=PushMode.ONLINE)
        whole = await store.get_online_features_async(service, entities)
        told = await asyncio.gather(
            *[store.get_online_features_async(["told:fuel", "city:mean"], {"tailnum": [tail]}) for tail in ("N7", "N1")]
        )
        online = store._get_provider().online_store
        read = await online.online_read_async(store.config, store.get_feature_view("told"), [entity("N7")], ["fuel"])
        await store.close()
        return whole, told, read

    whole, told, read = asyncio.run(both())
    # Feast's own order of features varies with the process.
    assert sorted(answers(whole).items()) == sorted(answers(store.get_online_features(service, entities)).items())
    assert answers(whole)["cycles"][1:] == [(None, "OUTSIDE_MAX_AGE"), NOTHING]
    assert [answers(one)["fuel"] for one in told] == [[(7.5, "PRESENT")], [(8.5, "PRESENT")]]
    assert [answers(one)["mean"] for one in told] == [[(2, "PRESENT")]] * 2, "without entities"
    assert read == [(NOW - HOUR, {"fuel": Value(float_val=7.5)})]
    provided = store._get_provider().async_supported.online
    assert (provided.read, provided.write) == (True, True)


def test_a_server_that_is_away_is_told_at_the_start(project: ScratchProject):
    store = project.store()
    store.config.online_store.url = "redis://127.0.0.1:1"
    with pytest.raises(RedisUnreachable, match="skewless up"):
        asyncio.run(store.initialize())


def test_a_row_that_cannot_be_read_is_invalid_and_the_others_are_answered(project, redis, caplog):
    store = project.store()
    store.push("tell", frame(["N1", "N2", "N3", "N4"], [1, 2, 3, 4]), to=PushMode.ONLINE)
    write_tables(project)
    store.materialize(NOW - timedelta(days=30), NOW, ["flown"])
    whole = redis.hget(key("N2"), "told")
    redis.hset(key("N2"), "told", whole[:-1])
    redis.hset(key("N3"), "told", b"\0" * 40)
    redis.delete(key("N4"))
    redis.set(key("N4"), "text")
    with caplog.at_level(logging.ERROR):
        found = ask(store, ["told:fuel", "flown:hours"], tailnum=["N1", "N2", "N3", "N4", "?"])
    assert found["fuel"] == [(1, "PRESENT"), INVALID, INVALID, INVALID, NOTHING]
    assert found["hours"] == [(2, "PRESENT"), (None, "OUTSIDE_MAX_AGE"), NOTHING, INVALID, NOTHING]
    said = [record.getMessage() for record in caplog.records]
    for tail in ("N2", "N3", "N4"):
        assert [line for line in said if "feature view 'told'" in line and f"tailnum='{tail}'" in line]
    online = store._get_provider().online_store
    view = store.get_feature_view("told")
    assert online.online_read(store.config, view, [entity("N1")], ["fuel"])[0][1]["fuel"].float_val == 1
    with pytest.raises(CorruptRow, match="feature view 'told' of entity tailnum='N2' is corrupt"):
        online.online_read(store.config, view, [entity("N1"), entity("N2")])
    with pytest.raises(UnwritableKeys, match=r"'told' were not written for tailnum='N4'.*delete those keys"):
        store.push("tell", frame(["N4", "N5"], [4, 5], NOW), to=PushMode.ONLINE)
    assert ask(store, ["told:fuel"], tailnum=["N5"])["fuel"] == [(5, "PRESENT")]


@pytest.mark.parametrize("kind", ["redis_cluster", "redis_sentinel"])
def test_on_a_cluster_and_behind_sentinels(request, project, kind):
    store = project.store()
    store.config.online_store.url = request.getfixturevalue(kind).url
    tails = [f"N{number}" for number in range(100)]
    store.push("tell", frame(tails, [float(number) for number in range(100)]), to=PushMode.ONLINE)
    write_tables(project)
    store.materialize(NOW - timedelta(days=30), NOW, ["flown"])
    found = ask(store, ["told:fuel", "flown:hours"], tailnum=[*tails, "?"])
    assert found["fuel"] == [*((float(number), "PRESENT") for number in range(100)), NOTHING]
    assert found["hours"][1:3] == [(2, "PRESENT"), (None, "OUTSIDE_MAX_AGE")]
    store.apply([], objects_to_delete=[store.get_feature_view("told")], partial=False)
    with closing(connect(store.config.online_store.url)) as client:
        assert {name for tail in tails for name in client.hkeys(key(tail))} == {b"flown"}


def test_a_view_that_is_being_removed_has_no_rows(project, redis):
    store = project.store()
    push(store, "N1", 1.5, NOW - HOUR, NOW)
    redis.hset(catalog_key("scratch"), removal_field("told"), b"{}")
    assert ask(store, ["told:fuel"], tailnum=["N1"])["fuel"] == [NOTHING]


def test_what_does_not_suit_is_refused(project):
    store = project.store()
    online = store._get_provider().online_store
    for refused in (
        lambda: online.write_precomputed_vector(store.config, "stored", "scratch", entity("N1"), b"..."),
        lambda: online.read_precomputed_vectors(store.config, "stored", "scratch", [entity("N1")]),
        lambda: asyncio.run(online.read_precomputed_vectors_async(store.config, "stored", "scratch", [])),
    ):
        with pytest.raises(FeastUnsupported, match="precomputed feature vectors yet; leave precompute_online out"):
            refused()
    for search in (online.retrieve_online_documents, online.retrieve_online_documents_v2):
        with pytest.raises(FeastUnsupported, match="search by vector"):
            search(store.config, None, ["fuel"], [1.0], 1)
    with pytest.raises(FeastUnsupported, match=r"writes to on-demand view 'rush'"):
        online.online_write_batch(store.config, store.get_on_demand_feature_view("rush"), [], None)
    assert online.plan(store.config, None) == []


@pytest.fixture
def versioned(project, tmp_path) -> FeatureStore:
    repo = tmp_path / "versioned"
    repo.mkdir()
    path = f"  path: sqlite:///{tmp_path}/versioned.db\n  enable_online_feature_view_versioning: true\n"
    settings = STORE.replace("  path: sqlite:///registry.db?plugin=skewless\n", path)
    (repo / "feature_store.yaml").write_text(settings)
    return FeatureStore(repo_path=str(repo))


def planes(*fields: str) -> list[object]:
    plane = Entity(name="plane", join_keys=["tailnum"], value_type=ValueType.STRING)
    table = FileSource(name="planes", path="planes", timestamp_field="event_timestamp")
    return [
        plane,
        FeatureView(
            name="planes",
            entities=[plane],
            schema=[Field(name=name, dtype=Int64 if name == "gate" else Float32) for name in fields],
            source=PushSource(name="seen", batch_source=table),
        ),
    ]


def test_each_version_of_a_view_has_rows_of_its_own(versioned, redis):
    store = versioned
    told = store.get_online_features
    store.apply(planes("fuel", "gate"))
    store.push("seen", frame(["N1"], [1.0]), to=PushMode.ONLINE)
    service = FeatureService(name="first", features=[planes("fuel", "gate")[1]])
    store.apply([*planes("fuel", "gate", "crew"), service])
    assert store.get_feature_view("planes").current_version_number == 1
    assert answers(told(["planes:fuel"], {"tailnum": ["N1"]}))["fuel"] == [NOTHING], "the new version has no rows yet"
    second = frame(["N1"], [2.0]).assign(crew=3.0)
    store.push("seen", second, to=PushMode.ONLINE)
    assert set(redis.hkeys(key("N1"))) == {b"planes", b"planes@v1"}
    both = told(["planes@v0:fuel", "planes@v1:fuel", "planes@v1:crew"], {"tailnum": ["N1"]}, full_feature_names=True)
    assert answers(both) | {"tailnum": None} == {
        "tailnum": None,
        "planes@v0__fuel": [(1, "PRESENT")],
        "planes@v1__fuel": [(2, "PRESENT")],
        "planes@v1__crew": [(3, "PRESENT")],
    }
    named = told(["planes:crew"], {"tailnum": ["N1"]}, include_feature_view_version_metadata=True)
    assert [(one.name, one.version) for one in named.proto.metadata.feature_view_metadata] == [("planes", 1)]

    async def pinned():
        return await store.get_online_features_async(["planes@v0:fuel"], {"tailnum": ["N1"]})

    assert answers(asyncio.run(pinned()))["fuel"] == [(1, "PRESENT")]
    # One version goes alone where the view stays, and all of them go with the view.
    online, view = store._get_provider().online_store, store.get_feature_view("planes")
    old = store.registry.get_feature_view_by_version("planes", store.project, 0)
    online.update(store.config, [old], [view], [], [], partial=True)
    assert redis.hkeys(key("N1")) == [b"planes@v1"]
    store.push("seen", second, to=PushMode.ONLINE)
    online.online_write_batch(store.config, old, [(entity("N1"), {"fuel": Value(float_val=1)}, NOW, NOW)], None)
    store.apply([], objects_to_delete=[view], partial=False)
    assert redis.hkeys(key("N1")) == []
