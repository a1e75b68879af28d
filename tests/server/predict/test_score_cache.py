from __future__ import annotations

from collections.abc import Callable
from time import monotonic

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper
from prometheus_client import Counter

from skewless.contract.model.matrix_scorer import MatrixScorer, ScoreOutput
from skewless.contract.model.signature import InputSpec, OutputSpec, SignatureSpec, differing
from skewless.contract.model.tensor_scorer import TensorScorer
from skewless.contract.rollout.rollout import CachePolicy
from skewless.server.predict.score_cache import ScoreCache
from tests.models import tiny
from tests.services.predict_server import ROW, Live
from tests.services.waiting import until

COLUMNS = 5
SCORER = MatrixScorer(tiny.model(), ScoreOutput("probabilities", 1), columns=COLUMNS)
VALUES = st.sampled_from([0.0, -0.0, 1.5, float("nan"), float("inf"), -2.0])
ROWS = st.lists(st.lists(VALUES, min_size=COLUMNS, max_size=COLUMNS), max_size=20)


def cached(
    rows: int, ttl_s: float = 60.0, clock: Callable[[], float] = monotonic
) -> tuple[ScoreCache, Counter, Counter]:
    hits, misses = (Counter(name, name, registry=None) for name in ("hits", "misses"))
    return ScoreCache(SCORER, CachePolicy(rows, ttl_s), hits, misses, clock=clock), hits, misses


@given(st.lists(ROWS, max_size=8), st.integers(1, 10))
def test_every_bit_is_the_scorers_whatever_is_kept(requests: list[list[list[float]]], rows: int):
    cache, hits, misses = cached(rows)
    for request in requests:
        matrix = np.array(request, np.float32).reshape(-1, COLUMNS)
        assert cache.score(matrix).tobytes() == SCORER.score(matrix).tobytes()
        assert len(cache._cached) <= rows
    assert hits._value.get() + misses._value.get() == sum(map(len, requests))


TEXTS = st.sampled_from(["", "A", "A\x00", "\x00A", "AB", "B"])
TYPED_ROWS = st.lists(st.tuples(TEXTS, TEXTS, VALUES, st.integers(-2, 2)), min_size=1, max_size=12)


def typed_graph() -> bytes:
    """Tells the first text, both texts and n x 2 of the number and the whole number, which are its inputs."""
    nodes = [
        helper.make_node("Identity", ["number"], ["same"]),
        helper.make_node("Cast", ["whole"], ["wide"], to=TensorProto.DOUBLE),
        helper.make_node("Concat", ["same", "wide"], ["pair"], axis=1),
        helper.make_node("Identity", ["texts"], ["both"]),
        helper.make_node("Identity", ["flat"], ["first"]),
    ]
    kinds = {"flat": (TensorProto.STRING, ["n"]), "texts": (TensorProto.STRING, ["n", 2])}
    kinds |= {"number": (TensorProto.DOUBLE, ["n", 1]), "whole": (TensorProto.INT64, ["n", 1])}
    told = {"first": (TensorProto.STRING, ["n"]), "both": (TensorProto.STRING, ["n", 2])}
    told |= {"pair": (TensorProto.DOUBLE, ["n", 2])}
    inputs, outputs = (
        [helper.make_tensor_value_info(name, *one) for name, one in some.items()] for some in (kinds, told)
    )
    graph = helper.make_graph(nodes, "typed", inputs, outputs)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9).SerializeToString()


TYPED = TensorScorer(
    typed_graph(),
    SignatureSpec(
        (
            InputSpec("flat", "string", ("a",), flat=True),
            InputSpec("texts", "string", ("a", "b")),
            InputSpec("number", "float64", ("c",)),
            InputSpec("whole", "int64", ("d",)),
        ),
        (OutputSpec("first", "string"), OutputSpec("both", "string", 2), OutputSpec("pair", "float64", 2)),
    ),
)


@given(st.lists(TYPED_ROWS, max_size=8), st.integers(1, 10))
def test_every_value_of_named_outputs_is_the_scorers(requests: list[list[tuple[str, str, float, int]]], rows: int):
    hits, misses = (Counter(name, name, registry=None) for name in ("hits", "misses"))
    cache = ScoreCache(TYPED, CachePolicy(rows, 60.0), hits, misses)
    for request in requests:
        first, second, numbers, whole = zip(*request, strict=True)
        inputs = {
            "flat": np.array(first, object),
            "texts": np.stack([np.array(first, object), np.array(second, object)], axis=1),
            "number": np.array(numbers).reshape(-1, 1),
            "whole": np.array(whole, np.int64).reshape(-1, 1),
        }
        found, expected = cache.score(inputs), TYPED.score(inputs)
        assert found.arrays.keys() == expected.arrays.keys()
        for name, array in expected.arrays.items():
            assert (found.arrays[name].shape, found.arrays[name].dtype) == (array.shape, array.dtype)
            assert not differing(found.arrays[name], array).any()
        assert len(cache._cached) <= rows
    assert hits._value.get() + misses._value.get() == sum(map(len, requests))


def test_a_score_is_forgotten_in_time():
    now = 100.0
    cache, hits, _ = cached(10, ttl_s=5.0, clock=lambda: now)
    row = np.ones((1, COLUMNS), np.float32)
    cache.score(row)
    now = 104.9
    cache.score(row)
    assert hits._value.get() == 1
    now = 105.1
    cache.score(row)
    assert hits._value.get() == 1


def test_a_rollout_turns_it_on_and_off_and_a_new_version_starts_empty(live: Live):
    hits = 'skewless_score_cache_hits_total{model="tiny",version="%s"}'
    first = live.score(ROW, ROW)["scores"]
    assert live.metric(hits % "1.0.0") == 0
    tiny.roll_out(live.settings.models, cache={"rows": 100, "ttl_s": 60})
    until(lambda: live.score(ROW, ROW)["scores"] == first and live.metric(hits % "1.0.0") > 2)
    tiny.promote(live.settings.models, "2.0.0")
    until(lambda: live.score(ROW)["version"] == "2.0.0")
    assert live.score(ROW)["scores"] != first[:1]
    tiny.roll_out(live.settings.models, cache=None)

    def scored_without_a_hit() -> bool:
        before = live.metric(hits % "2.0.0")
        live.score(ROW)
        return live.metric(hits % "2.0.0") == before

    until(scored_without_a_hit)
