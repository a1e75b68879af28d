"""Where our stores answer otherwise than Feast's own: a test for each row of the table in the page "Coming from Feast", with
Feast's file and Redis stores beside ours on the same tables. In each Feast differs, so that the row is true.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, ValueType
from feast.on_demand_feature_view import on_demand_feature_view
from feast.protos.feast.serving.ServingService_pb2 import FieldStatus
from feast.types import Float32, Float64, Int64
from redis import Redis

from skewless.contract.state_folder import StateFolders
from skewless.feast.errors import FutureRows
from skewless.online.store import embedded_valkey
from skewless.project.migration.view_counts import OnDemandInputs, ViewCounts
from tests.checkout import ROOT

PAGE = ROOT / "infra/docs/guides/from-feast.md"
NOW = datetime.now(UTC).replace(microsecond=0)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
FEAST = "online_store:\n  type: redis\n  connection_string: {place}\n"
OURS = """\
offline_store:
  type: skewless.feast.SkewlessOfflineStore
  data: .
  {known_by}
online_store:
  type: skewless.feast.SkewlessOnlineStore
batch_engine:
  type: skewless.feast.SkewlessEngine
"""
Row = tuple[int, float | None, datetime, datetime]
"""Key, value, event time, created time."""


@dataclass(frozen=True)
class Stores:
    """One feature view `v` over one table, on Feast's stores and on ours."""

    folder: Path
    place: str
    ttl: timedelta = 3 * DAY
    dtype: object = Float32
    known_by: str = ""

    def table(self, *rows: Row) -> None:
        keys, values, event, created = zip(*rows, strict=True)
        us = pa.timestamp("us", "UTC")
        kind = pa.float64() if self.dtype is Float32 else pa.int64()
        columns = {"k": pa.array(keys), "x": pa.array(values, kind), "event_timestamp": pa.array(event, us)}
        pq.write_table(pa.table(columns | {"created": pa.array(created, us)}), self.folder / "v.parquet")

    def feast(self) -> FeatureStore:
        return self._applied("feast", FEAST.format(place=self.place))

    def ours(self) -> FeatureStore:
        return self._applied("ours", OURS.format(known_by=self.known_by))

    def _applied(self, name: str, stores: str) -> FeatureStore:
        repo = self.folder / name
        repo.mkdir()
        head = f"project: {name}\nregistry: {repo}/registry.db\nprovider: local\nentity_key_serialization_version: 3\n"
        (repo / "feature_store.yaml").write_text(head + stores)
        store = FeatureStore(repo_path=str(repo))
        key = Entity(name="k", join_keys=["k"], value_type=ValueType.INT64)
        path = str(self.folder / "v.parquet")
        source = FileSource(name="v", path=path, timestamp_field="event_timestamp", created_timestamp_column="created")
        fields = [Field(name="x", dtype=self.dtype)]  # type: ignore[arg-type]
        store.apply([key, FeatureView(name="v", entities=[key], ttl=self.ttl, schema=fields, source=source)])
        return store


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Host and port of a Redis: Feast's connection strings have no sockets."""
    with embedded_valkey.running(StateFolders(tmp_path_factory.mktemp("feast")), port=0) as server:
        yield server.url.removeprefix("redis://").partition("/")[0]


@pytest.fixture
def stores(tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch) -> Stores:
    with Redis.from_url(f"redis://{place}") as client:
        client.flushall()
    monkeypatch.setenv("SKEWLESS_REDIS_URL", f"redis://{place}/0")
    monkeypatch.setenv("SKEWLESS_STATE", str(tmp_path / "state"))
    return Stores(tmp_path, place)


def online(store: FeatureStore, *keys: int) -> list[tuple[float | None, str]]:
    """Values and statuses."""
    response = store.get_online_features(features=["v:x"], entity_rows=[{"k": key} for key in keys])
    place = list(response.proto.metadata.feature_names.val).index("x")
    statuses = [FieldStatus.Name(status) for status in response.proto.results[place].statuses]
    return list(zip(response.to_dict()["x"], statuses, strict=True))


def training(store: FeatureStore, *spine: tuple[int, datetime]) -> pd.DataFrame:
    frame = pd.DataFrame(spine, columns=["k", "event_timestamp"])
    return store.get_historical_features(entity_df=frame, features=["v:x"]).to_df()


def trained(store: FeatureStore, *spine: tuple[int, datetime]) -> list[float | None]:
    return [None if pd.isna(value) else value for value in training(store, *spine)["x"]]


def test_ttl_online(stores: Stores):
    stores.table((1, 1.5, NOW - 9 * DAY, NOW - 9 * DAY))
    feast, ours = stores.feast(), stores.ours()
    for store in (feast, ours):
        store.materialize(NOW - 20 * DAY, NOW)
    assert online(feast, 1) == [(1.5, "PRESENT")]
    assert online(ours, 1) == [(None, "OUTSIDE_MAX_AGE")]
    assert trained(ours, (1, NOW)) == [None]


def test_rows_of_the_future(stores: Stores):
    stores.table((1, 1.5, NOW - DAY, NOW - DAY), (1, 2.5, NOW + DAY, NOW - DAY))
    feast, ours = stores.feast(), stores.ours()
    pushed = pd.DataFrame({"k": [1], "x": [2.5], "event_timestamp": [NOW + DAY], "created": [NOW]})
    for store in (feast, ours):
        store.materialize(NOW - 20 * DAY, NOW)
    feast.write_to_online_store("v", pushed)
    with pytest.raises(FutureRows, match="are not valid yet"):
        ours.write_to_online_store("v", pushed)
    assert online(feast, 1) == [(2.5, "PRESENT")]
    assert trained(feast, (1, NOW)) == [1.5]
    assert online(ours, 1) == [(1.5, "PRESENT")]
    assert trained(ours, (1, NOW)) == [1.5]


def test_corrections(stores: Stores):
    row: Row = (1, 1.5, NOW - DAY, NOW - DAY)
    stores.table(row)
    feast, ours = stores.feast(), stores.ours()
    for store in (feast, ours):
        store.materialize(NOW - 20 * DAY, NOW - HOUR)
    stores.table(row, (1, 2.5, NOW - DAY, NOW - HOUR / 2))
    for store in (feast, ours):
        store.materialize(NOW - 20 * DAY, NOW)
    assert online(feast, 1) == [(1.5, "PRESENT")]
    assert trained(feast, (1, NOW)) == [2.5]
    assert online(ours, 1) == [(2.5, "PRESENT")]
    assert trained(ours, (1, NOW)) == [2.5]


def test_late_rows(stores: Stores):
    row: Row = (1, 1.5, NOW - 2 * DAY, NOW - 2 * DAY)
    stores.table(row)
    feast, ours = stores.feast(), stores.ours()
    for store in (feast, ours):
        store.materialize_incremental(NOW - DAY)
    stores.table(row, (2, 2.5, NOW - 2 * DAY, NOW - HOUR))
    for store in (feast, ours):
        store.materialize_incremental(NOW)
    assert online(feast, 1, 2) == [(1.5, "PRESENT"), (None, "PRESENT")]
    assert trained(feast, (2, NOW)) == [2.5]
    assert online(ours, 1, 2) == [(1.5, "PRESENT"), (2.5, "PRESENT")]
    assert trained(ours, (2, NOW)) == [2.5]


def test_exact_ties(stores: Stores):
    tie: list[Row] = [(1, value, NOW - DAY, NOW - DAY) for value in (1.5, 2.5)]
    stores.table(*tie)
    feast, ours = stores.feast(), stores.ours()
    answers: dict[str, set[float | None]] = {"feast": set(), "ours": set()}
    for rows in (tie, tie[::-1]):
        stores.table(*rows)
        for name, store in (("feast", feast), ("ours", ours)):
            with Redis.from_url(f"redis://{stores.place}") as client:
                client.flushall()
            store.materialize(NOW - 20 * DAY, NOW)
            answers[name] |= {online(store, 1)[0][0], *trained(store, (1, NOW))}
    assert answers["feast"] == {1.5, 2.5}
    assert len(answers["ours"]) == 1


def test_doubles_under_float32(stores: Stores):
    stores.table((1, 0.1, NOW - DAY, NOW - DAY))
    feast, ours = stores.feast(), stores.ours()
    for store in (feast, ours):
        store.materialize(NOW - 20 * DAY, NOW)
    nearest = float(np.float32(0.1))
    assert trained(feast, (1, NOW)) == [0.1]
    assert online(feast, 1) == [(nearest, "PRESENT")]
    assert [float(value) for value in trained(ours, (1, NOW))] == [nearest]
    assert online(ours, 1) == [(nearest, "PRESENT")]


@pytest.mark.parametrize(("known_by", "value"), [("", 1.5), ("known_by: created_timestamp", None)])
def test_known_since(stores: Stores, known_by: str, value: float | None):
    chosen = Stores(stores.folder, stores.place, known_by=known_by)
    chosen.table((1, 1.5, NOW - 2 * DAY, NOW - HOUR))
    assert trained(chosen.feast(), (1, NOW - DAY)) == [1.5], "although nobody knew it then"
    ours = chosen.ours()
    assert trained(ours, (1, NOW - DAY)) == [value]
    assert trained(ours, (1, NOW)) == [1.5]


def test_training_rows_without_values(stores: Stores):
    stores.table((1, 1.5, NOW - DAY, NOW - DAY), (2, 2.5, NOW - 9 * DAY, NOW - 9 * DAY), (3, 3.5, NOW, NOW))
    spine = [(3, NOW - DAY), (1, NOW), (2, NOW)]
    feast = training(stores.feast(), *spine)
    assert len(feast) < len(spine), "what is out of its ttl or to come takes the label with it"
    assert trained(stores.ours(), *spine) == [None, 1.5, None]


@pytest.mark.filterwarnings("ignore::RuntimeWarning:feast")
def test_columns_of_on_demand_views(stores: Stores):
    stores.table((1, 1.5, NOW - DAY, NOW - DAY))

    def columns(store: FeatureStore) -> list[str]:
        view = store.get_feature_view("v")

        @on_demand_feature_view(sources=[view], schema=[Field(name="double", dtype=Float64)], mode="pandas")
        def doubled(inputs: pd.DataFrame) -> pd.DataFrame:
            return pd.DataFrame({"double": inputs["x"].astype("float64") * 2})

        store.apply(doubled)
        frame = pd.DataFrame([(1, NOW)], columns=["k", "event_timestamp"])
        return sorted(store.get_historical_features(entity_df=frame, features=["doubled:double"]).to_df().columns)

    assert columns(stores.feast()) == ["double", "event_timestamp", "k", "x"]
    assert columns(stores.ours()) == ["double", "event_timestamp", "k"]


def test_statuses(stores: Stores):
    stores.table((1, None, NOW - DAY, NOW - DAY), (2, 2.5, NOW - DAY, NOW - DAY))
    feast, ours = stores.feast(), stores.ours()
    for store in (feast, ours):
        store.materialize(NOW - 20 * DAY, NOW)
    assert online(feast, 1, 2, 9) == [(None, "PRESENT"), (2.5, "PRESENT"), (None, "PRESENT")]
    assert online(ours, 1, 2, 9) == [(None, "NULL_VALUE"), (2.5, "PRESENT"), (None, "NOT_FOUND")]


def test_whole_numbers_with_gaps(stores: Stores):
    chosen = Stores(stores.folder, stores.place, dtype=Int64)
    big = 2**53 + 1
    chosen.table((1, big, NOW - DAY, NOW - DAY))
    spine = [(1, NOW), (9, NOW)]
    feast, ours = training(chosen.feast(), *spine), training(chosen.ours(), *spine)
    assert int(feast.set_index("k")["x"][1]) == 2**53
    assert int(ours["x"][0]) == big
    assert pd.isna(ours["x"][1])


def differences(page: str) -> Sequence[tuple[str, str]]:
    """The first cell of each row of the page's table, and the test that it names."""
    return re.findall(r"^\| ([^|]+?) \|.*\| `(test_\w+)` \|$", page, re.MULTILINE)


def test_each_row_of_the_table_names_a_test_and_each_test_has_a_row():
    rows = differences(PAGE.read_text())
    tests = {name for name, value in globals().items() if name.startswith("test_") and "stores" in _arguments(value)}
    assert {test for _, test in rows} == tests
    assert len(rows) == len(tests) == len(re.findall(r"^\| (?!what |---)", PAGE.read_text(), re.MULTILINE))


def test_what_the_doctor_counts_is_in_the_table():
    counts = ViewCounts("v", 9, 9, expired=1, future=1, corrections=1, late=1, unknown=1, ties=1, rounded={"x": 1})
    first = [cell for cell, _ in differences(PAGE.read_text())]
    for difference in (*counts.differences(), OnDemandInputs("o", 3).difference()):
        assert [cell for cell in first if difference.what in cell], difference.what


def _arguments(test: object) -> Sequence[str]:
    return test.__code__.co_varnames[: test.__code__.co_argcount] if hasattr(test, "__code__") else ()  # type: ignore[attr-defined]
