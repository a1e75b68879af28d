from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor

import ndonnx as ndx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skewless.contract.columns import ColumnValues
from skewless.contract.errors import InvalidPlan
from skewless.contract.model.transforms import TransformGraph, as_input, input_dtype, inputs_of, reference
from skewless.contract.plan import (
    Field,
    JoinKey,
    Plan,
    PlanView,
    RequestInput,
    StoredFeature,
    Transform,
    TransformOutput,
)
from tests.models.graphs import traced
from tests.oracles import model_value
from tests.strategies import NUMBERS, STORED, values
from tests.tables.arrays import as_values

FUNCTIONS = ("sin", "cos", "log", "exp", "tanh", "sqrt", "pow", "tan", "log1p", "atan")
WAVE = Transform("wave", (("x", RequestInput("x")),), tuple(Field(name, "Float32") for name in FUNCTIONS), "0" * 64)


def wave(x):
    found = {name: getattr(ndx, name)(x) for name in FUNCTIONS if name != "pow"}
    return found | {"pow": ndx.pow(x, 1.7)}


def plan_of(transform, *, request=(), fields=()):
    view = PlanView("v", "v", (JoinKey("k", "k", "Int64"),), tuple(fields), 0, "event_timestamp")
    return Plan("s", "p", (view,), tuple(request), (transform,), ())


@pytest.fixture(scope="module", params=["Float32", "Float64"])
def waves(request):
    """A graph of the functions whose vector and scalar paths differ, its input, and its results as one batch."""
    plan = plan_of(WAVE, request=[Field("x", request.param)])
    graph = TransformGraph(plan, traced(plan, {"wave": wave}))
    x = np.abs(np.random.default_rng(7).normal(size=1_000) * 50).astype("f4" if request.param == "Float32" else "f8")
    x[::97] = np.nan
    return graph, x, run(graph, x)


def run(graph, x) -> dict[str, bytes]:
    found = graph.run({RequestInput("x"): ColumnValues(x, np.ones(len(x), bool))})
    return {output.name: values.data.tobytes() for output, values in found.items()}


def test_results_do_not_depend_on_the_size_of_the_batch(waves):
    graph, x, whole = waves
    for size in range(1, 101):
        assert run(graph, x[:size]) == {name: data[: size * 4] for name, data in whole.items()}, size


def test_results_do_not_depend_on_the_place_in_the_batch(waves):
    graph, x, whole = waves
    for start in range(40):
        assert run(graph, x[start : start + 37]) == {n: d[start * 4 : start * 4 + 148] for n, d in whole.items()}
    shuffled = np.random.default_rng(8).permutation(len(x))
    for name, data in run(graph, x[shuffled]).items():
        assert data == np.frombuffer(whole[name], "<u4")[shuffled].tobytes()


@given(size=st.integers(1, 1_000), seed=st.integers(0, 99))
def test_results_do_not_depend_on_batch_place_or_thread(waves, size, seed):
    graph, x, whole = waves
    places = np.random.default_rng(seed).integers(0, len(x), size)
    expected = {name: np.frombuffer(data, "<u4")[places].tobytes() for name, data in whole.items()}
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(lambda _: run(graph, x[places]), range(3))) == [expected] * 3


def test_results_do_not_depend_on_the_rows_around(waves):
    graph, x, whole = waves
    for others in (0.0, -1.0, np.nan, np.inf, 1e30):
        crowd = np.full(23, others, x.dtype)
        crowd[11] = x[5]
        assert {n: d[44:48] for n, d in run(graph, crowd).items()} == {n: d[20:24] for n, d in whole.items()}


def test_views_that_do_not_lie_in_a_row_give_the_same_results(waves):
    graph, x, _ = waves
    assert run(graph, x[::3]) == run(graph, np.ascontiguousarray(x[::3]))


SAME = Transform(
    "same", (("x", StoredFeature("v", "x")), ("unused", RequestInput("u"))), (Field("y", "Float32"),), "0" * 64
)


@given(st.data(), st.sampled_from(NUMBERS), st.integers(1, 20))
def test_every_number_comes_as_a_float_and_a_null_as_nan(data, dtype, rows):
    graph = _same(dtype)
    column = data.draw(st.lists(values(dtype), min_size=rows, max_size=rows))
    untransformed_values = {
        StoredFeature("v", "x"): as_values(dtype, column),
        RequestInput("u"): as_values("Bool", [None] * rows),
    }
    (found,) = graph.run(untransformed_values).values()
    assert found.valid.all()
    assert found.data.dtype == np.float32
    for value, got in zip(column, found.data, strict=True):
        wide = value if value is None or dtype == "Float32" else np.float64(value)
        expected = model_value(wide, None)
        assert got.tobytes() == expected.tobytes() or (np.isnan(got) and np.isnan(expected))


_GRAPHS: dict[str, TransformGraph] = {}


def _same(dtype) -> TransformGraph:
    if dtype not in _GRAPHS:
        plan = plan_of(SAME, request=[Field("u", "Bool")], fields=[Field("x", dtype)])
        _GRAPHS[dtype] = TransformGraph(plan, traced(plan, {"same": lambda x, unused: {"y": x}}))
    return _GRAPHS[dtype]


def test_whole_numbers_are_exact_to_2_to_the_53():
    graph = traced_function(lambda x: {"y": x - 2.0**53 + 1.0}, "Int64")
    (found,) = graph.run({RequestInput("x"): as_values("Int64", [2**53 - 1, 2**53 - 3])}).values()
    assert found.data.tolist() == [0.0, -2.0]


def traced_function(function, dtype="Float64") -> TransformGraph:
    transform = Transform("t", (("x", RequestInput("x")),), (Field("y", "Float32"),), "0" * 64)
    plan = plan_of(transform, request=[Field("x", dtype)])
    return TransformGraph(plan, traced(plan, {"t": function}))


def test_a_result_without_rows_is_one_for_every_row():
    graph = traced_function(lambda x: {"y": ndx.asarray(np.float32(3.5))})
    for rows in (1, 16, 17):
        (found,) = graph.run({RequestInput("x"): as_values("Float64", [1.0] * rows)}).values()
        assert found.data.tolist() == [3.5] * rows


def test_no_rows_give_no_results():
    (found,) = traced_function(lambda x: {"y": x}).run({RequestInput("x"): as_values("Float64", [])}).values()
    assert (found.data.tolist(), found.data.dtype, found.valid.tolist()) == ([], np.float32, [])


def test_a_value_beyond_float32_is_its_infinity():
    (found,) = (
        traced_function(lambda x: {"y": x}).run({RequestInput("x"): as_values("Float64", [np.float64(1e300)])}).values()
    )
    assert found.data.tolist() == [np.inf]


def test_one_graph_serves_several_transforms():
    double = Transform("double", (("a", RequestInput("x")),), (Field("y", "Float32"),), "0" * 64)
    total = Transform(
        "total", (("x", RequestInput("x")), ("z", StoredFeature("v", "z"))), (Field("y", "Float32"),), "0" * 64
    )
    view = PlanView("v", "v", (), (Field("z", "Int32"),), 0, "event_timestamp")
    plan = Plan("s", "p", (view,), (Field("x", "Float32"),), (double, total), ())
    functions = {
        "double": lambda a: {"y": a * 2},
        "total": lambda x, z: {"y": ndx.astype(x, ndx.float64) + z},
    }
    graph = TransformGraph(plan, traced(plan, functions))
    assert inputs_of(plan) == [(RequestInput("x"), "Float32"), (StoredFeature("v", "z"), "Int32")]
    untransformed_values = {
        RequestInput("x"): as_values("Float32", [np.float32(1.5), None]),
        StoredFeature("v", "z"): as_values("Int32", [4, 5]),
    }
    found = graph.run(untransformed_values)
    assert found[TransformOutput("double", "y")].data[0] == 3.0
    assert found[TransformOutput("total", "y")].data[0] == 5.5
    assert np.isnan(found[TransformOutput("total", "y")].data[1])


@pytest.mark.parametrize(
    ("request_fields", "transform"),
    [
        ([Field("z", "Float64")], Transform("t", (("z", RequestInput("z")),), (Field("y", "Float32"),), "0")),
        ([Field("x", "Float64")], Transform("t", (("x", RequestInput("x")),), (Field("z", "Float32"),), "0")),
        ([Field("x", "Float64")], Transform("u", (("x", RequestInput("x")),), (Field("y", "Float32"),), "0")),
        ([Field("x", "Float32")], Transform("t", (("x", RequestInput("x")),), (Field("y", "Float32"),), "0")),
    ],
    ids=["input", "output", "name", "type"],
)
def test_the_graph_of_another_plan_is_refused(request_fields, transform):
    mine = Transform("t", (("x", RequestInput("x")),), (Field("y", "Float32"),), "0")
    graph = traced(plan_of(mine, request=[Field("x", "Float64")]), {"t": lambda x: {"y": x}})
    with pytest.raises(InvalidPlan, match="traced transforms"):
        TransformGraph(plan_of(transform, request=request_fields), graph)


@pytest.mark.parametrize("dtype", STORED)
def test_only_numbers_enter_a_transform(dtype):
    if dtype in NUMBERS:
        assert input_dtype(dtype, name="x") == ("f4" if dtype == "Float32" else "f8")
        return
    with pytest.raises(InvalidPlan, match=re.escape(f"{dtype} 'x'")):
        input_dtype(dtype, name="x")


def test_values_are_called_as_feast_calls_them():
    assert reference(StoredFeature("v", "f")) == "v__f"
    assert reference(TransformOutput("t", "o")) == "t__o"
    assert reference(RequestInput("r")) == "r"


@given(st.data(), st.sampled_from(NUMBERS))
def test_as_input_is_the_cast_of_one_value_at_a_time(data, dtype):
    column = data.draw(st.lists(values(dtype), max_size=5))
    with np.errstate(all="ignore"):
        found = as_input(as_values(dtype, column), np.dtype("<f4"))
    assert [x.tobytes() for x in found] == [model_value(value, None).tobytes() for value in column]
