"""Decimals and times through the SDK: one type and one value, offline and online."""

from __future__ import annotations

import decimal
import json
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from feast import Field
from feast.types import Array, Decimal, Map, UnixTimestamp

from skewless.runtime.errors import SpineMismatch
from tests.tables.car_store import NOW, CarStore, car, instants, materialize, offline, online, view

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning:feast", "ignore::DeprecationWarning")
D = decimal.Decimal
LONG = D("12345678901234567890.1234567890")
PLATES = [1, 2, 3]


@pytest.fixture
def cars(tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> CarStore:
    monkeypatch.setenv("SKEWLESS_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("SKEWLESS_REDIS_URL", redis_url)
    return CarStore(tmp_path)


def both(cars: CarStore, dtype, values: pa.Array) -> tuple[pa.ChunkedArray, list]:
    """A feature offline and online."""
    source = cars.table({"plate": PLATES, "x": values})
    store = cars.open()
    store.apply([car, view("v", source, Field(name="x", dtype=dtype))])
    materialize(store)
    return offline(store, ["v:x"], plate=PLATES)["x"], online(store, ["v:x"], plate=PLATES)["x"]


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (pa.decimal128(38, 10), [LONG, D("1.10"), None]),
        (pa.decimal256(60, 20), [LONG * 10**15, D("-1.10"), None]),
        (pa.decimal128(9, 0), [D(7), D(-7), None]),
    ],
)
def test_a_decimal_is_a_decimal_on_both_sides(cars: CarStore, kind: pa.DataType, values: list[D | None]):
    trained, served = both(cars, Decimal, pa.array(values, kind))
    assert trained.type == kind
    assert trained.to_pylist() == served == values
    assert sum(trained.to_pandas().dropna()) == sum(values[:2])


def test_lists_of_decimals(cars: CarStore):
    values = [[LONG, D("1.10")], [], None]
    trained, served = both(cars, Array(Decimal), pa.array(values, pa.list_(pa.decimal128(38, 10))))
    assert trained.type == pa.list_(pa.decimal128(38, 10))
    assert trained.to_pylist() == served == values


def test_tables_whose_decimals_differ_have_the_type_that_holds_all(cars: CarStore):
    (cars.folder / "trips").mkdir()
    times = {"event_timestamp": instants(datetime(2013, 1, 1, tzinfo=UTC))}
    for name, kind, value in (("a", pa.decimal128(12, 2), D("1.25")), ("b", pa.decimal128(6, 5), D("1.12345"))):
        cars.table({"plate": [ord(name)], "x": pa.array([value], kind), **times}, f"trips/{name}")
    source = cars.table({"plate": [1], "x": pa.array([None], pa.decimal128(3, 1))}, "trips/c")
    source.file_options.uri = "trips"
    store = cars.open()
    store.apply([car, view("v", source, Field(name="x", dtype=Decimal), ttl=None)])
    trained = offline(store, ["v:x"], plate=[ord("a"), ord("b"), 1])["x"]
    assert trained.type == pa.decimal128(15, 5)
    assert trained.to_pylist() == [D("1.25"), D("1.12345"), None]


def test_times_are_whole_seconds_on_both_sides_before_1970_too(cars: CarStore):
    times = [datetime(2024, 1, 1, 0, 0, 0, 999_999, UTC), datetime(1969, 12, 31, 23, 59, 59, 500_000, UTC)]
    trained, served = both(cars, UnixTimestamp, pa.array([*times, None], pa.timestamp("us", "UTC")))
    assert trained.to_pylist() == served == [*(time.replace(microsecond=0) for time in times), None]


STRUCT = pa.struct([("a", pa.string()), ("b", pa.int64())])
PAIRS = pa.map_(pa.string(), pa.int64())


@pytest.mark.parametrize(
    ("dtype", "kind", "values"),
    [
        (Map, STRUCT, [{"a": "x", "b": None}, {"a": "y", "b": 2}, None]),
        (Map, PAIRS, [[("a", None)], [("a", 1), ("b", 2)], None]),
        (Array(Map), pa.list_(STRUCT), [[{"a": "x", "b": None}], [{"a": "y", "b": 2}, {"a": None, "b": 3}], None]),
    ],
)
def test_a_map_is_the_same_alone_and_beside_others(cars: CarStore, dtype, kind: pa.DataType, values: list):
    trained, served = both(cars, dtype, pa.array(values, kind))
    assert trained.type == kind
    assert trained.to_pylist(maps_as_pydicts="strict") == served
    store = cars.open()
    for plate, value in zip(PLATES, served, strict=True):
        assert offline(store, ["v:x"], plate=[plate])["x"].to_pylist(maps_as_pydicts="strict") == [value]
        assert online(store, ["v:x"], plate=[plate])["x"] == [value]


def test_maps_are_texts_where_their_table_has_texts(cars: CarStore):
    maps = [{"a": "x", "b": [1.5, 2.5]}, {}, None]
    texts = pa.array([None if entries is None else json.dumps(entries, indent=1) for entries in maps])
    trained, served = both(cars, Map, texts)
    assert trained.type == pa.string()
    assert [None if text is None else json.loads(text) for text in trained.to_pylist()] == served == maps
    trained, served = both(cars, Array(Map), pa.array([[texts[0].as_py()], [], None]))
    assert trained.to_pylist() == [[json.dumps(maps[0])], [], None]
    assert served == [[maps[0]], [], None]


def test_a_map_of_files_in_several_forms_is_a_text(cars: CarStore):
    (cars.folder / "trips").mkdir()
    cars.table({"plate": [1], "x": pa.array([{"a": "x", "b": None}], STRUCT)}, "trips/a")
    cars.table({"plate": [2], "x": pa.array([[("a", 1)]], PAIRS)}, "trips/b")
    source = cars.table({"plate": [3], "x": ['{"c": [true]}']}, "trips/c")
    source.file_options.uri = "trips"
    store = cars.open()
    store.apply([car, view("v", source, Field(name="x", dtype=Map))])
    materialize(store)
    trained, served = (read(store, ["v:x"], plate=PLATES)["x"] for read in (offline, online))
    assert served == [{"a": "x", "b": None}, {"a": 1}, {"c": [True]}]
    assert trained.to_pylist() == [json.dumps(entries, sort_keys=True) for entries in served]


def test_a_spine_may_have_a_column_that_a_number_names(cars: CarStore):
    store = cars.open()
    store.apply([car, view("v", cars.table({"plate": [7], "x": [D(1)]}), Field(name="x", dtype=Decimal))])
    frame = pd.DataFrame({"plate": [7], 0: [1.5], "event_timestamp": [NOW]})
    assert store.get_historical_features(frame, ["v:x"]).to_df().columns.tolist() == [
        "plate",
        0,
        "event_timestamp",
        "x",
    ]


def test_a_key_under_its_entitys_name_is_told_what_to_do(cars: CarStore):
    store = cars.open()
    store.apply([car, view("v", cars.table({"plate": [7], "x": [D(1)]}), Field(name="x", dtype=Decimal))])
    with pytest.raises(SpineMismatch, match=r"'plate' is absent; .* columns are named by join keys, not entities"):
        offline(store, ["v:x"], car=[7])
