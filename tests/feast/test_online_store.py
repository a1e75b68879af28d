"""Online answers through Feast's SDK and CLI on a real server: materialize, read, push, delete."""

from __future__ import annotations

from datetime import datetime, timedelta
from unittest.mock import patch

import pandas as pd
import pyarrow as pa
import pytest
from feast import FeatureStore, FeatureView, Field
from feast.data_source import PushMode
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.types import Float32
from redis import Redis

from skewless.contract.errors import InvalidInput
from skewless.contract.storage.catalog import catalog_key, view_field
from skewless.contract.storage.entity_key import EntityKeyEncoder
from skewless.contract.timestamps import to_micros
from skewless.feast import online_store
from skewless.feast.errors import FutureRows
from skewless.feast.materialization import engine
from skewless.online.store import embedded_valkey
from skewless.runtime.settings import ProjectSettings
from skewless.state.database import StateDatabase
from skewless.state.run_history import RunCounts
from tests.feast.online_features import BIG, ask, push, write_tables
from tests.oracles import entity_key
from tests.tables.scratch_project import DAY, HOUR, NOW, ScratchProject, times

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning:feast", "ignore::DeprecationWarning")


def dump(redis: Redis) -> dict[bytes, dict[bytes, bytes]]:
    return {key: redis.hgetall(key) for key in redis.scan_iter()}


def fuel(store: FeatureStore, tail: str) -> tuple[object, str]:
    (answer,) = ask(store, ["told:fuel"], tailnum=[tail])["fuel"]
    return answer


def watermark(project: ScratchProject, view: str) -> datetime | None:
    state = StateDatabase(ProjectSettings.read().state_url)
    found = state.watermark("scratch", view)
    state.close()
    return found


def test_materialize_and_read(project, redis):
    write_tables(project)
    window = [(NOW - 30 * DAY).isoformat(), NOW.isoformat()]
    told = project.feast("materialize", *window)
    assert "flown" in told
    store = project.store()

    tails = ["N1", "N2", "N3", "N4", "N5", "N6", "?", None, "N1"]
    flown = ask(store, ["flown:hours", "flown:cycles", "flown:note", "flown:grounded"], tailnum=tails)
    nothing, stale = (None, "NOT_FOUND"), (None, "OUTSIDE_MAX_AGE")
    rest = [stale, nothing, (5, "PRESENT"), (None, "NULL_VALUE"), nothing, nothing, nothing]
    assert flown["hours"] == [(2, "PRESENT"), *rest, (2, "PRESENT")]
    assert flown["cycles"] == [(BIG, "PRESENT"), *rest, (BIG, "PRESENT")]
    assert flown["note"][0] == ("é", "PRESENT")
    assert flown["grounded"][0] == (True, "PRESENT")

    legs = ask(
        store, ["legs:minutes", "legs:stops", "legs:digest"], carrier=["AA", "AA", "UA", "UA"], number=[1, 2, 1, 2]
    )
    assert legs["minutes"] == [(10.5, "PRESENT"), (20, "PRESENT"), (30, "PRESENT"), nothing]
    assert legs["stops"][1] == (None, "NULL_VALUE")
    assert legs["digest"][:2] == [(b"\xff\x00", "PRESENT"), (b"", "PRESENT")]

    service = store.get_feature_service("everything")
    whole = store.get_online_features(
        service, {"tailnum": ["N1", "N2"], "carrier": ["AA", "AA"], "number": [1, 9], "hour": [3, 3]}
    ).to_dict()
    assert whole["mean"] == [2, 2]
    assert whole["swell"][0] == 6
    assert whole["swell"][1] is None or pd.isna(whole["swell"][1])
    sisters = store.get_online_features(
        store.get_feature_service("sisters"), {"tailnum": ["?"], "sister_tailnum": ["N1"]}, full_feature_names=True
    ).to_dict()
    assert (sisters["mine__hours"], sisters["sister__hours"]) == ([None], [2])
    when = store.get_online_features(["flown:hours"], {"tailnum": ["N1"]}).proto.results[-1].event_timestamps[0]
    assert when.ToMicroseconds() % 1_000_000 == 123_456

    before = dump(redis)
    assert entity_key("scratch", {"carrier": ("String", "AA"), "number": ("Int64", 1)}) in before
    store.materialize(NOW - 30 * DAY, NOW)
    assert dump(redis) == before
    # A row of later would take the place of the one that counts until then.
    store.materialize(NOW, NOW + 2 * HOUR, ["flown"])
    changed = {key for key, row in dump(redis).items() if row != before.get(key)}
    assert changed <= {catalog_key("scratch")}
    assert ask(store, ["flown:hours"], tailnum=["N4", "N6"])["hours"] == [(5, "PRESENT"), nothing], "future rows"


def test_after_a_window_that_ended_in_the_future_nothing_is_missed(project):
    write_tables(project)
    store = project.store()
    store.materialize(NOW - 30 * DAY, NOW + 30 * DAY, ["told"])
    assert fuel(store, "N1") == (1, "PRESENT")
    late = {"event_timestamp": times(-HOUR), "created_timestamp": times(timedelta(0))}
    project.write("told", "part-1", tailnum=["N7"], fuel=pa.array([7], pa.float32()), gate=[7], **late)
    store.materialize_incremental(NOW + 31 * DAY, ["told"])
    assert fuel(store, "N7") == (7, "PRESENT")


def test_incremental_materialization_takes_late_rows(project):
    write_tables(project)
    store = project.store()
    store.materialize_incremental(NOW - 90 * timedelta(minutes=1), ["told"])
    assert fuel(store, "N1") == (1, "PRESENT")
    late = {"event_timestamp": times(-3 * HOUR), "created_timestamp": times(-HOUR)}
    project.write("told", "part-1", tailnum=["N7"], fuel=pa.array([7], pa.float32()), gate=[7], **late)
    store.materialize_incremental(NOW, ["told"])
    assert fuel(store, "N7") == (7, "PRESENT")
    assert fuel(store, "N2") == (2, "PRESENT")


def test_pushed_rows_win_only_if_they_are_newer(project):
    store = project.store()
    push(store, "N1", 1.5, NOW - HOUR, NOW - HOUR)
    assert fuel(store, "N1") == (1.5, "PRESENT")
    push(store, "N1", 9.0, NOW - 2 * HOUR, NOW)
    assert fuel(store, "N1") == (1.5, "PRESENT"), "an older event"
    push(store, "N1", 2.5, NOW - HOUR, NOW)
    assert fuel(store, "N1") == (2.5, "PRESENT"), "a correction"
    push(store, "N8", 3.0, NOW - HOUR, None)
    assert fuel(store, "N8") == (3.0, "PRESENT"), "known since its event"
    assert ask(store, ["told:gate"], tailnum=["N1"])["gate"] == [(BIG, "PRESENT")]
    with pytest.raises(InvalidInput, match="null"):
        push(store, None, 1.0, NOW, NOW)


def test_a_row_of_the_future_does_not_take_the_place_of_the_one_that_counts(project):
    """Newest-wins alone would: the entity would have no row until then."""
    store, times = project.store(), (NOW + DAY, NOW)
    push(store, "N1", 1.5, NOW - HOUR, NOW - HOUR)
    with pytest.raises(
        FutureRows, match=r"'told' are not valid yet \(the row of tailnum='N1' is from .*PushMode.OFFLINE"
    ):
        push(store, "N1", 3.0, *times)
    assert fuel(store, "N1") == (1.5, "PRESENT")
    write_tables(project)
    row = {"tailnum": "N1", "fuel": 3.0, "gate": BIG, "event_timestamp": times[0], "created_timestamp": times[1]}
    frame = pd.DataFrame([row])
    with pytest.raises(FutureRows):
        store.push("tell", frame, to=PushMode.ONLINE_AND_OFFLINE)
    files = set(project.data.rglob("*.parquet"))
    store.push("tell", frame, to=PushMode.OFFLINE)
    assert len(set(project.data.rglob("*.parquet")) - files) == 1, "what was refused before left nothing"
    store.materialize(NOW - DAY, NOW, ["told"])
    assert fuel(store, "N1") == (1.5, "PRESENT")
    store.materialize(NOW, NOW + DAY, ["told"])
    assert fuel(store, "N1") == (1.5, "PRESENT"), "also where the window ends later"
    with patch.object(engine, "_now", lambda: NOW + DAY):
        store.materialize(NOW, NOW + DAY, ["told"])
    with patch.object(online_store, "_now", lambda: to_micros(NOW + DAY)):
        assert fuel(store, "N1") == (3.0, "PRESENT")


def entity(tail: str | None) -> EntityKey:
    return EntityKey(join_keys=["tailnum"], entity_values=[Value(string_val=tail) if tail else Value()])


def test_rows_of_an_older_schema_stay_readable(project):
    store = project.store()
    push(store, "N1", 1.5, NOW - HOUR, NOW)
    view = store.get_feature_view("told")
    view.features = [*view.features, Field(name="crew", dtype=Float32)]
    online = store._get_provider().online_store
    ((event, values),) = online.online_read(store.config, view, [entity("N1")])
    assert event == NOW - HOUR
    assert (values["fuel"].float_val, values["crew"].WhichOneof("val")) == (1.5, None)
    assert online.online_read(store.config, view, [entity(None)]) == [(None, None)]


def test_applying_again_changes_nothing_and_a_view_that_is_gone_leaves_nothing(project, redis):
    write_tables(project)
    store = project.store()
    store.materialize(NOW - 30 * DAY, NOW)
    first = _definitions(project.store())
    before = dump(redis)
    other = EntityKeyEncoder("other_scratch", ["tailnum"], ["String"]).encode(["N1"])
    redis.hset(other, "flown", b"not ours")

    definitions = project.repo / "definitions.py"
    whole = definitions.read_text()
    try:
        kept = whole[: whole.index("asked = ")] + "del told\n"
        definitions.write_text(kept)
        said = project.feast("apply")
    finally:
        definitions.write_text(whole)
    assert "2 of told" in said
    assert "told" not in _definitions(project.store())
    assert {name: found for name, found in first.items() if name != "told"} == _definitions(project.store())
    after = dump(redis)
    assert after.pop(other) == {b"flown": b"not ours"}
    catalog = catalog_key("scratch")
    assert view_field("told") in before[catalog]
    assert view_field("told") not in after[catalog]
    expected = {key: {name: row for name, row in fields.items() if name != b"told"} for key, fields in before.items()}
    expected = {key: fields for key, fields in expected.items() if fields}
    expected[catalog].pop(view_field("told"))
    assert after == expected
    project.store().teardown()
    assert set(dump(redis)) == {other, catalog}
    assert not [name for name in redis.hkeys(catalog) if name.startswith(b"view:")]


def _definitions(store: FeatureStore) -> dict[str, FeatureView]:
    """Views compare by what is defined, not by when."""
    return {view.name: view for view in store.list_feature_views()}


def test_a_view_that_is_gone_has_no_watermark(project):
    write_tables(project)
    store = project.store()
    state = StateDatabase(ProjectSettings.read().state_url)
    run = state.run_started("scratch", "told", "materialize", window_start=None, window_end=NOW, started_at=NOW)
    state.run_finished(run, RunCounts(), finished_at=NOW, watermark=NOW)
    state.close()
    assert watermark(project, "told") == NOW
    told = store.get_feature_view("told")
    store.apply([], objects_to_delete=[told], partial=False)
    assert watermark(project, "told") is None


def test_without_an_address_the_embedded_server_is_used(project, monkeypatch):
    monkeypatch.delenv("SKEWLESS_REDIS_URL")
    store = project.store()
    try:
        push(store, "N1", 1.5, NOW - HOUR, NOW)
        assert fuel(store, "N1") == (1.5, "PRESENT")
        assert embedded_valkey.status(ProjectSettings.read().folders) is not None
    finally:
        embedded_valkey.stop(ProjectSettings.read().folders)
