"""One transform, three answers: Feast's SDK (online and historical), the training set, and the compiled graph, to the bit.

The values are those that hurt: nulls, NaN, infinities, zeros of both signs, subnormals, integers beyond 2^53.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import Entity, FeatureService, FeatureStore, FeatureView, FileSource, RequestSource, ValueType
from feast import Field as FeastField
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Float32, Float64, Int32, Int64
from hypothesis import HealthCheck, settings
from hypothesis import given as drawn
from hypothesis import strategies as st

from skewless.contract.columns import ColumnValues
from skewless.contract.model.transforms import TransformGraph
from skewless.contract.plan import RequestInput, StoredFeature, TransformOutput
from skewless.definitions.compiler import CompiledService, compile_service
from skewless.definitions.onnx_tracing import load_functions
from skewless.model.training.training_set import frame, values_for
from skewless.offline.join.point_in_time import TIMESTAMP
from skewless.runtime.settings import ProjectSettings
from tests.strategies import FLOAT32_BITS, FLOAT64_BITS
from tests.tables.store_file import store_file

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
TRANSFORMS = """
def exact(*, ratio, level, clock, steps, asked, weight):
    xp = ratio.__array_namespace__()
    return {
        "since": xp.astype((asked - clock) / 3600.0, xp.float32),
        "share": xp.astype(xp.astype(ratio, xp.float64) * level - steps, xp.float32),
        "above": xp.astype(ratio > xp.astype(weight, xp.float32), xp.float32) * ratio - ratio / 3,
        "whole": xp.astype(clock, xp.float32),
    }


def curved(*, ratio, level, steps, asked):
    xp = ratio.__array_namespace__()
    return {
        "wave": xp.sin(ratio) + xp.cos(ratio),
        "growth": xp.astype(xp.exp(xp.astype(level, xp.float32)), xp.float32),
        "depth": xp.log(xp.abs(xp.astype(steps, xp.float32)) + ratio * ratio),
        "chosen": xp.where(ratio > 0.5, ratio + ratio, -ratio),
        "bent": xp.tanh(ratio) * xp.sqrt(xp.abs(xp.astype(asked, xp.float32))),
    }
"""
NOW = datetime.now(UTC).replace(microsecond=0)
ROWS = 1_200
OUTPUTS = [f"exact__{name}" for name in ("since", "share", "above", "whole")]
OUTPUTS += [f"curved__{name}" for name in ("wave", "growth", "depth", "chosen", "bent")]
EXTREMES = [0, -1, 2**31 - 1, -(2**31), 2**53, 2**53 + 1, -(2**53) - 1, 2**60 + 1, 2**63 - 1, -(2**63), 1_385_000_000]

thing = Entity(name="thing", join_keys=["thing"], value_type=ValueType.INT64)
measured = FeatureView(
    name="measured",
    entities=[thing],
    schema=[
        FeastField(name="ratio", dtype=Float32),
        FeastField(name="level", dtype=Float64),
        FeastField(name="clock", dtype=Int64),
        FeastField(name="steps", dtype=Int32),
    ],
    source=FileSource(
        name="measured",
        path="measured",
        timestamp_field="event_timestamp",
        created_timestamp_column="created_timestamp",
    ),
    ttl=timedelta(days=2),
)
sent = RequestSource(
    name="sent", schema=[FeastField(name="asked", dtype=Int64), FeastField(name="weight", dtype=Float64)]
)


@on_demand_feature_view(
    sources=[measured, sent],
    schema=[FeastField(name=name, dtype=Float32) for name in ("since", "share", "above", "whole")],
    mode="pandas",
)
def exact(inputs: pd.DataFrame) -> pd.DataFrame:
    pass


@on_demand_feature_view(
    sources=[measured, sent],
    schema=[FeastField(name=name, dtype=Float32) for name in ("wave", "growth", "depth", "chosen", "bent")],
    mode="pandas",
)
def curved(inputs: pd.DataFrame) -> pd.DataFrame:
    pass


both = FeatureService(name="both", features=[exact, curved])


def floats(rng: np.random.Generator, rows: int, kind: str) -> pa.Array:
    """Of any size, ordinary ones, special ones, and nulls."""
    bits = np.dtype(kind.replace("f", "u"))
    special = np.array(FLOAT32_BITS if bits.itemsize == 4 else FLOAT64_BITS, bits)
    drawn = rng.integers(0, np.iinfo(bits).max, rows, bits, endpoint=True)
    drawn = np.where(rng.random(rows) < 0.3, rng.choice(special, rows), drawn).view(kind)
    return pa.array(np.where(rng.random(rows) < 0.5, rng.normal(size=rows).astype(kind), drawn), mask=nulls(rng, rows))


def wholes(rng: np.random.Generator, rows: int, kind: str) -> pa.Array:
    held = np.iinfo(kind)
    extremes = [one for one in EXTREMES if held.min <= one <= held.max]
    drawn = rng.integers(held.min, held.max, rows, kind, endpoint=True)
    return pa.array(np.where(rng.random(rows) < 0.5, rng.choice(np.array(extremes, kind), rows), drawn),
                    mask=nulls(rng, rows))  # fmt: skip


def nulls(rng: np.random.Generator, rows: int) -> np.ndarray:
    return rng.random(rows) < 0.1


@pytest.fixture(scope="module")
def world(tmp_path_factory, redis_server):
    """A project with a row for each of 1,200 entities (and none for some that are asked about), applied and online."""
    root = tmp_path_factory.mktemp("bits")
    repo = root / "feature_repo"
    repo.mkdir()
    (repo / "feature_store.yaml").write_text(store_file("bits"))
    (repo / "transforms.py").write_text(TRANSFORMS)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SKEWLESS_STATE", str(root / ".skewless"))
        environment.setenv("SKEWLESS_REDIS_URL", redis_server.url)
        environment.setenv("SKEWLESS_FEATURE_REPO", str(repo))
        store = FeatureStore(repo_path=str(repo))
        store.apply([thing, measured, exact, curved, both])
        rng = np.random.default_rng(11)
        when = pa.array([NOW - timedelta(hours=3)] * ROWS, pa.timestamp("us", "UTC"))
        table = {"thing": np.arange(ROWS), "ratio": floats(rng, ROWS, "f4"), "level": floats(rng, ROWS, "f8")}
        table |= {"clock": wholes(rng, ROWS, "i8"), "steps": wholes(rng, ROWS, "i4")}
        table |= {"event_timestamp": when, "created_timestamp": when}
        data = ProjectSettings.read().folders.data / "measured"
        data.mkdir(parents=True)
        pq.write_table(pa.table(table), data / "part-0.parquet")
        store.materialize(NOW - timedelta(days=1), NOW - timedelta(hours=1))
        compiled = compile_service(store, "both", ProjectSettings.read().folders.data)
        yield store, compiled, repo


@pytest.fixture(autouse=True)
def _in_the_project(world, redis_server, monkeypatch):
    monkeypatch.setenv("SKEWLESS_STATE", str(world[2].parent / ".skewless"))
    monkeypatch.setenv("SKEWLESS_REDIS_URL", redis_server.url)
    monkeypatch.setenv("SKEWLESS_FEATURE_REPO", str(world[2]))


def spine(seed: int, rows: int) -> pa.Table:
    """Some entities in any order, again and again, unknown ones among them, with what a request sends of each."""
    rng = np.random.default_rng(seed)
    asked, weight = wholes(rng, rows, "i8").fill_null(7), floats(rng, rows, "f8").fill_null(0.5)
    return pa.table(
        {
            TIMESTAMP: pa.array([NOW] * rows, pa.timestamp("us", "UTC")),
            "thing": rng.integers(0, ROWS + 50, rows),
            "asked": asked,
            "weight": weight,
        }
    )


def bits(column: object) -> np.ndarray:
    """Float32 by their bits, where every null and NaN is one and the same."""
    values = pd.to_numeric(pd.Series(column)).to_numpy("float64", na_value=np.nan).astype("float32")
    return np.where(np.isnan(values), np.uint32(0x7FC00000), values.view("u4"))


def learned(compiled: CompiledService, rows: pa.Table) -> dict[str, np.ndarray]:
    """What a training set would hold."""
    table = frame(compiled.plan, rows, values_for(compiled, rows))
    return {name: bits(table.column(name).to_numpy(zero_copy_only=False)) for name in OUTPUTS}


@settings(max_examples=8, suppress_health_check=list(HealthCheck))
@drawn(seed=st.integers(0, 2**31), size=st.integers(1, 1_000))
def test_sdk_training_set_and_graph_agree_to_the_bit(world, seed: int, size: int):
    store, compiled, _ = world
    rows = spine(seed, size)
    expected = learned(compiled, rows)
    service = store.get_feature_service("both")
    historical = store.get_historical_features(rows.to_pandas(), service, full_feature_names=True).to_arrow()
    entities = {name: rows.column(name).to_pylist() for name in ("thing", "asked", "weight")}
    online = store.get_online_features(service, entities, full_feature_names=True).to_dict()
    graph = alone(compiled, rows)
    for name in OUTPUTS:
        for who, found in (
            ("graph", graph[name]),
            ("historical", historical[name].to_pylist()),
            ("online", online[name]),
        ):
            wrong = bits(found) != expected[name]
            assert not wrong.any(), (who, name, np.flatnonzero(wrong)[:5])


def alone(compiled: CompiledService, rows: pa.Table) -> dict[str, np.ndarray]:
    """The graph for each row by itself, on what the join gives."""
    given = values_for(compiled, rows)
    inputs = {source: values for source, values in given.items() if isinstance(source, StoredFeature | RequestInput)}
    graph = TransformGraph(compiled.plan, compiled.transforms)
    places = np.linspace(0, len(rows) - 1, min(len(rows), 40)).astype(int)
    found = {source: values.data.copy() for source, values in graph.run(inputs).items()}
    for place in places:
        cut = {
            source: ColumnValues(v.data[place : place + 1], v.valid[place : place + 1]) for source, v in inputs.items()
        }
        for source, values in graph.run(cut).items():
            assert bits(values.data) == bits(found[source][place : place + 1]), source
    return {
        f"{source.transform}__{source.name}": data
        for source, data in found.items()
        if isinstance(source, TransformOutput)
    }


def test_the_values_are_those_that_hurt(world):
    _, compiled, _ = world
    expected = learned(compiled, spine(3, 1_000))
    for name in OUTPUTS:
        assert len(np.unique(expected[name])) > 150, name
    floats = expected["exact__share"].view("f4")
    assert np.isnan(floats).any()
    assert np.isinf(floats).any()


def test_numpy_alone_would_not_give_the_graphs_bits(world):
    """Why the body of a view runs the graph."""
    store, compiled, repo = world
    rows = spine(5, 1_000)
    function, values = load_functions(repo)["curved"], values_for(compiled, rows)
    with np.errstate(all="ignore"):
        columns = {
            "ratio": np.where(given(values, "ratio").valid, given(values, "ratio").data, np.float32(np.nan)),
            "level": np.where(given(values, "level").valid, given(values, "level").data, np.nan),
            "steps": np.where(given(values, "steps").valid, given(values, "steps").data.astype(float), np.nan),
            "asked": rows.column("asked").to_numpy().astype(float),
        }
        direct = function(**columns)
    expected = learned(compiled, rows)
    assert any((bits(direct[name]) != expected[f"curved__{name}"]).any() for name in direct)
    ran = store.get_on_demand_feature_view("curved").feature_transformation.udf(pd.DataFrame(columns))
    for name in direct:
        assert not (bits(ran[name]) != expected[f"curved__{name}"]).any()


def given(values, name: str) -> ColumnValues:
    return values[StoredFeature("measured", name)]
