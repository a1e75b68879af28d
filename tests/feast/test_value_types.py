"""Every value type of Feast, through its SDK on real stores: materialized, pushed, read online, joined offline."""

from __future__ import annotations

import math
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pandas as pd
import pyarrow as pa
import pytest
from feast import FeatureStore, FeatureView, Field, FileSource
from feast import ValueType as FeastValueType
from feast import types as feast
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from redis import Redis

from skewless.contract.value_types import value_type
from skewless.definitions.compiler import view_of
from tests.oracles import entity_key
from tests.tables.scratch_project import DAY, HOUR, NOW, ScratchProject, times

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning:feast", "ignore::DeprecationWarning")
BIG = 2**53 + 1
ID = uuid.UUID("58e0a7d7-eebc-11d8-9669-0800200c9a66")
SECOND = datetime(2013, 1, 1, 0, 0, 1, tzinfo=UTC)
FINE = SECOND.replace(microsecond=250_000)
US = pa.timestamp("us", "UTC")
POINT = feast.Struct({"lat": feast.Float32, "tags": feast.Array(feast.String), "raw": feast.Bytes})
ARROW_POINT = pa.struct([("lat", pa.float32()), ("tags", pa.list_(pa.string())), ("raw", pa.binary())])
ENTRIES = pa.map_(pa.string(), pa.int64())

# Per type: the Arrow type of the table, a value and an empty one in Arrow, and both as Feast's SDK answers online.
SCALARS = {
    "bytes": (feast.Bytes, pa.binary(), b"\xff\x00", b""),
    "string": (feast.String, pa.string(), "é", ""),
    "int32": (feast.Int32, pa.int32(), -(2**31), 0),
    "int64": (feast.Int64, pa.int64(), BIG, -(2**63)),
    "float64": (feast.Float64, pa.float64(), -0.0, math.inf),
    "float32": (feast.Float32, pa.float32(), 0.5, -math.inf),
    "bool": (feast.Bool, pa.bool_(), True, False),
    "pdf": (feast.PdfBytes, pa.binary(), b"%PDF", b""),
    "image": (feast.ImageBytes, pa.binary(), b"\x89PNG", b""),
    "decimal": (feast.Decimal, pa.string(), "1.50", "0"),
    "uuid": (feast.Uuid, pa.string(), str(ID), str(ID)),
    "time_uuid": (feast.TimeUuid, pa.string(), str(ID), str(ID)),
    "json": (feast.Json, pa.string(), '{"a": [1]}', "{}"),
}
LISTS = {
    "bytes": [b"\xff", b""],
    "string": ["é", ""],
    "int32": [-1, 2],
    "int64": [BIG, -BIG],
    "float64": [0.1, -0.0],
    "float32": [0.5, math.inf],
    "bool": [True, False],
    "uuid": [str(ID)],
    "time_uuid": [str(ID)],
    "decimal": ["1.50", "2"],
}
Case = tuple[object, pa.DataType, object, object]


def cases() -> Iterator[tuple[str, Case]]:
    """Name, Feast's type, the table's Arrow type, a value, an empty value."""
    yield from SCALARS.items()
    for name, elements in LISTS.items():
        kind, arrow = SCALARS[name][:2]
        yield f"{name}_list", (feast.Array(kind), pa.list_(arrow), elements, [])
        yield f"{name}_set", (feast.Set(kind), pa.list_(arrow), elements, [])
    yield "json_list", (feast.Array(feast.Json), pa.list_(pa.string()), ['{"a": [1]}'], [])
    yield "time", (feast.UnixTimestamp, US, FINE, SECOND)
    yield "time_list", (feast.Array(feast.UnixTimestamp), pa.list_(US), [FINE, SECOND], [])
    yield "time_set", (feast.Set(feast.UnixTimestamp), pa.list_(US), [SECOND], [])
    yield "zoned", (feast.ZonedTimestamp, pa.timestamp("us", "America/New_York"), FINE, SECOND)
    yield "map", (feast.Map, ENTRIES, [("a", BIG), ("b", None)], [])
    yield "map_list", (feast.Array(feast.Map), pa.list_(ENTRIES), [[("a", 1)], []], [])
    yield "scalar_map", (feast.ScalarMap, pa.map_(pa.int64(), pa.string()), [(7, "x"), (1, "")], [])
    point = {"lat": 0.5, "tags": ["x", ""], "raw": b""}
    yield "struct", (POINT, ARROW_POINT, point, {"lat": None, "tags": [], "raw": None})
    yield "struct_list", (feast.Array(POINT), pa.list_(ARROW_POINT), [point], [])
    lists = pa.list_(pa.list_(pa.int32()))
    yield "lists", (feast.Array(feast.Array(feast.Int32)), lists, [[1, 2], [3]], [])
    yield "sets", (feast.Array(feast.Set(feast.Int32)), lists, [[1, 2]], [])
    yield "set_of_lists", (feast.Set(feast.Array(feast.Int32)), lists, [[1], [2]], [])


CASES = dict(cases())
TAILS = ["N1", "N2", "N3"]
BEYOND_FRAMES = {"map_list", "scalar_map", "zoned", "struct", "struct_list"}
"""Feast makes Arrow and then NumPy of a pushed frame, and refuses what those make of these."""
ASKED = [f"all:{name}" for name in CASES]


@pytest.fixture
def store(project: ScratchProject) -> FeatureStore:
    """A view of all types, applied, with a table of three entities: values, empty values, nulls."""
    store = project.store()
    source = FileSource(
        name="all", path="all", timestamp_field="event_timestamp", created_timestamp_column="created_timestamp"
    )
    fields = [Field(name=name, dtype=case[0]) for name, case in CASES.items()]
    view = FeatureView(name="all", entities=[store.get_entity("aircraft")], schema=fields, source=source)
    store.apply([source, view])
    columns = {name: pa.array([value, empty, None], arrow) for name, (_, arrow, value, empty) in CASES.items()}
    stamps = {"event_timestamp": times(-HOUR, -HOUR, -HOUR), "created_timestamp": times(-HOUR, -HOUR, -HOUR)}
    project.write("all", tailnum=TAILS, **columns, **stamps)
    return project.store()


def online(name: str, value: object) -> object:
    """What Feast's SDK answers for a value of a table."""
    if name in {"time", "zoned"}:
        return value.astimezone(ZoneInfo("America/New_York") if name == "zoned" else UTC).replace(microsecond=0)
    if name in {"map", "scalar_map"}:
        return dict(value)
    known = {
        "time_list": lambda: [one.replace(microsecond=0) for one in value],
        "map_list": lambda: [dict(one) for one in value],
        "json_list": lambda: [{"a": [1]} for _ in value],
        "json": lambda: {"a": [1]} if len(value) > 2 else {},
        "sets": lambda: [set(one) for one in value],
        "set_of_lists": lambda: list(value),
    }
    if name in known:
        return known[name]()
    made = {"uuid": uuid.UUID, "time_uuid": uuid.UUID, "decimal": Decimal}.get(name.rsplit("_", 1)[0])
    made = {"uuid": uuid.UUID, "time_uuid": uuid.UUID, "decimal": Decimal}.get(name, made) or (lambda one: one)
    if name.endswith("_set"):
        return {made(one) for one in value}
    return [made(one) for one in value] if name.endswith("_list") else made(value)


def test_all_value_types_are_here(store):
    numbers = {value_type(f.dtype).number for f in view_of(store.config, *_view(store)).fields}
    assert numbers == {kind.value for kind in FeastValueType} - {
        FeastValueType.UNKNOWN.value,
        FeastValueType.NULL.value,
    }


def _view(store: FeatureStore):
    view = store.get_feature_view("all")
    return view, view.projection


def test_every_type_is_the_same_online_and_offline(store):
    store.materialize(NOW - DAY, NOW, ["all"])
    answers = store.get_online_features(ASKED, {"tailnum": TAILS}).to_dict()
    spine = pa.table({"tailnum": TAILS, "event_timestamp": times(*[-HOUR / 2] * 3)})
    joined = store.get_historical_features(spine, ASKED)
    table = joined.to_arrow()
    for name, (_, arrow, value, empty) in CASES.items():
        expected = [online(name, value), online(name, empty), None]
        assert repr(answers[name]) == repr(expected) or answers[name] == expected, name
        told = table.column(name)
        if not (pa.types.is_map(arrow) or name == "zoned"):
            assert told.type == (pa.list_(arrow.value_type) if pa.types.is_list(arrow) else arrow), name
        given = pa.array([value, empty, None], arrow).to_pylist()
        if name not in {"time", "time_list", "zoned", "scalar_map"} and not name.endswith("_set"):
            assert repr(told.to_pylist()) == repr(given), name
        elif name.endswith("_set"):
            assert [None if one is None else set(one) for one in told.to_pylist()] == [set(value), set(), None], name
    frame = joined.to_df()
    assert frame["map"][0] == {"a": BIG, "b": None}
    assert frame["int64_list"][0].tolist() == [BIG, -BIG]
    assert table["time_list"].to_pylist()[0] == [SECOND, SECOND], "Feast's lists hold whole seconds"
    assert answers["time"][0] == SECOND, "and so do its protos, though rows keep microseconds"
    assert table["time"].to_pylist()[0] == SECOND, "and so the SDK's join"


def _row(redis: Redis, tail: str) -> bytes:
    """What a row holds behind its times."""
    return redis.hget(entity_key("scratch", {"tailnum": ("String", tail)}), "all")[16:]


def test_every_type_is_pushed_as_it_is_materialized(store, redis):
    """Values of protos, as `feast` hands them to a store; its times are whole seconds."""
    store.materialize(NOW - DAY, NOW, ["all"])
    view = store.get_feature_view("all")
    provider = store._get_provider().online_store
    names = [name for name in CASES if name != "time"]
    keys = [EntityKey(join_keys=["tailnum"], entity_values=[Value(string_val=tail)]) for tail in TAILS]
    read = provider.online_read(store.config, view, keys)
    pushed = [EntityKey(join_keys=["tailnum"], entity_values=[Value(string_val=f"P{tail}")]) for tail in TAILS]
    rows = [(key, values, NOW - HOUR, NOW - HOUR) for key, (_, values) in zip(pushed, read, strict=True)]
    provider.online_write_batch(store.config, view, rows, None)
    assert _row(redis, "PN2") == _row(redis, "N2"), "bit for bit, where the time is a whole second"
    assert _row(redis, "PN3") == _row(redis, "N3")
    for (_, here), (_, there) in zip(read, provider.online_read(store.config, view, pushed), strict=True):
        assert {name: here[name] for name in names} == {name: there[name] for name in names}


def test_a_pushed_frame_is_stored_as_its_table_would_be(store, redis):
    """Through pandas and Feast's own guesses at what a struct or a nested list holds."""
    store.materialize(NOW - DAY, NOW, ["all"])
    frame = {"tailnum": ["P1"], "event_timestamp": [NOW - HOUR], "created_timestamp": [NOW - HOUR]}
    for name, (_, _, value, _) in CASES.items():
        frame[name] = [online(name, value) if "map" in name else value]
    frame["time"] = [SECOND]
    for name in BEYOND_FRAMES:
        frame[name] = [None]
    store.write_to_online_store("all", pd.DataFrame(frame))
    here, there = (store.get_online_features(ASKED, {"tailnum": [tail]}).to_dict() for tail in ("N1", "P1"))
    assert [name for name in CASES if name not in BEYOND_FRAMES and here[name] != there[name]] == []
