"""Optimised and quantised graphs: what is done is measured and told, bounded, the same again, and no score mixes rows."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import onnx
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from skewless.contract.model.bundle import Bundle
from skewless.contract.model.onnx_session import open_session
from skewless.contract.model.signature import differing
from skewless.model.publishing import graph_optimisation, publish
from skewless.model.publishing.graph_optimisation import (
    GraphChanges,
    NothingToQuantise,
    change_graph,
    nodes,
    scales_by_batch,
)
from skewless.model.publishing.optimisation_report import ScoreGapTooLarge
from skewless.model.publishing.publish import PublishedBundle, VersionPlace
from skewless.model.publishing.versions import versions
from skewless.model.training.training_set import TrainingSet
from skewless.registry.bundle_folder import open_bundle
from skewless.registry.cpu_features import processor_features
from tests.models import estimators, learnable_project, networks

NOW = datetime(2026, 11, 1, tzinfo=UTC)
OPTIMISE, QUANTISE = GraphChanges(optimise=True), GraphChanges(quantise=True)
BOTH = GraphChanges(optimise=True, quantise=True)


@pytest.fixture(scope="module")
def opened(tmp_path_factory) -> TrainingSet:
    root = tmp_path_factory.mktemp("optimised")
    learnable_project.write_tables(root / "data")
    return estimators.joined(root / "numbers", root / "data", texts=False)


@pytest.fixture(scope="module")
def small(opened: TrainingSet) -> PublishedBundle:
    """A network of 64, with int8 weights and then optimised."""
    return put(opened, opened.folder.parent / "models", networks.network(idle=True), BOTH)


def put(opened: TrainingSet, models: Path, graph: bytes, changes: GraphChanges, **place) -> PublishedBundle:
    return publish.run_onnx(graph, opened, VersionPlace(models, "net", **place), created_at=NOW, changes=changes)


def bundle_of(done: PublishedBundle) -> Bundle:
    bundle = open_bundle(done.folder, processor_features())
    assert bundle.exact
    return bundle


def alone(graph: bytes, output: str, opened: TrainingSet) -> np.ndarray:
    """What a graph tells of each golden row by itself; the slow way round the publisher."""
    whole = opened.matrix(pq.read_table(opened.folder / "data.parquet"))
    places = np.linspace(0, len(whole) - 1, 256).astype(np.int64)
    session = open_session(graph)
    return np.concatenate([session.run([output], {"input": whole[place : place + 1]})[0] for place in places])


def test_an_optimised_graph_has_fewer_operators_and_the_same_scores(opened: TrainingSet, tmp_path: Path):
    graph = networks.network(idle=True)
    done = put(opened, tmp_path, graph, GraphChanges(optimise=True, most_difference=0.0))
    said, model = done.manifest.optimised, (done.folder / "model.onnx").read_bytes()
    assert said.steps == ("graph optimisation",)
    assert said.original == hashlib.sha256(graph).hexdigest() != done.manifest.digests["model.onnx"]
    assert (said.bytes_before, said.bytes_after) == (len(graph), len(model))
    assert (said.operators_before, said.operators_after) == (10, 9)
    assert (said.rows, said.difference, said.allowed) == (256, 0.0, 0.0)
    assert alone(model, "score", opened).tobytes() == alone(graph, "score", opened).tobytes()
    assert [one.what for one in said.timings] == ["1 row", "100 rows", "loading"]
    assert all(one.before_us > 0 < one.after_us and 0 < one.ratio < 1_000 for one in said.timings)
    assert bundle_of(done).manifest == done.manifest


@pytest.mark.parametrize("graph", [networks.network(idle=True), networks.scaled(), networks.network(classes=True)])
@pytest.mark.parametrize("changes", [OPTIMISE, QUANTISE, BOTH])
def test_a_changed_graph_is_one_that_any_machine_can_read(graph: bytes, changes: GraphChanges):
    made = change_graph(graph, changes).graph
    assert made == change_graph(graph, changes).graph, "equal graphs give equal bytes"
    model = onnx.load_from_string(made)
    imported = {one.domain for one in model.opset_import}
    assert imported == {node.domain for node in nodes(model)} <= {"", "ai.onnx.ml", "com.microsoft"}
    before = onnx.load_from_string(graph)
    for mine, theirs in ((model.graph.input, before.graph.input), (model.graph.output, before.graph.output)):
        assert [(one.name, one.type.tensor_type.elem_type) for one in mine] == [
            (one.name, one.type.tensor_type.elem_type) for one in theirs
        ]


def test_int8_weights_are_a_quarter_and_their_price_is_told(opened: TrainingSet, tmp_path: Path):
    graph = networks.network(512)
    done = put(opened, tmp_path, graph, QUANTISE)
    said = done.manifest.optimised
    assert said.steps == ("int8 quantisation",)
    assert said.bytes_after < 0.3 * said.bytes_before
    after, before = (alone(one, "score", opened) for one in ((done.folder / "model.onnx").read_bytes(), graph))
    gap = np.abs(after.astype(np.float64) - before.astype(np.float64)).max()
    assert 0.0 < said.difference == gap <= said.allowed == 0.01
    assert done.manifest.signature.rows_a_run == 1, "its scale is that of all rows of a run"
    page = (done.folder / "card.html").read_text()
    for told in ("Changes of its graph", "Int8 quantisation", f"{said.bytes_before:,}", "100 rows"):
        assert told in page
    assert "int8 quantisation: " in str(said)


def test_golden_rows_and_scores_are_of_the_graph_that_is_served(small: PublishedBundle, opened: TrainingSet):
    golden = pq.read_table(small.folder / "golden.parquet")
    served = (small.folder / "model.onnx").read_bytes()
    scores = golden.column("score").to_numpy()
    assert scores.tobytes() == alone(served, "score", opened).reshape(-1).tobytes()
    assert scores.tobytes() != alone(networks.network(idle=True), "score", opened).reshape(-1).tobytes()


@settings(max_examples=30, suppress_health_check=list(HealthCheck))
@given(size=st.integers(1, 1_000), seed=st.integers(0, 99), share=st.floats(0, 1))
def test_a_score_is_the_rows_alone_whatever_the_batch_place_or_thread(small, opened, size, seed, share):
    bundle, rng = bundle_of(small), np.random.default_rng(seed)
    rows = rng.normal(size=(size, networks.COLUMNS)).astype(np.float32) * np.float32(10.0 ** rng.integers(-3, 6))
    rows[rng.random(rows.shape) < 0.1] = np.nan
    score = lambda part: bundle.signature.output_arrays(bundle.score(bundle.signature.from_arrays([part])))[0]  # noqa: E731
    whole, row = score(rows), int(share * (size - 1))
    assert not differing(whole[row : row + 1], score(rows[row : row + 1])).any()
    with ThreadPoolExecutor(3) as pool:
        for again in pool.map(score, [rows] * 3):
            assert not differing(whole, again).any()


def test_the_same_again_is_not_published_again(small: PublishedBundle, opened: TrainingSet):
    models = small.folder.parents[1]
    again = put(opened, models, networks.network(idle=True), BOTH)
    assert (again.created, again.manifest) == (False, small.manifest)
    with pytest.raises(ScoreGapTooLarge):
        put(
            opened,
            models,
            networks.network(idle=True),
            GraphChanges(True, True, small.manifest.optimised.difference / 2),
        )
    assert versions(models / "net") == ["1.0.0"]


@pytest.mark.parametrize("bound", [0.0, 1e-9, 1e-4])
def test_a_score_that_moves_too_far_publishes_nothing(opened: TrainingSet, tmp_path: Path, bound: float):
    with pytest.raises(ScoreGapTooLarge, match=f"of golden row .* is .* off, the greatest difference, and {bound:g}"):
        put(opened, tmp_path / "models", networks.network(), GraphChanges(quantise=True, most_difference=bound))
    assert not (tmp_path / "models").exists()


def test_zero_means_not_a_bit(opened: TrainingSet, tmp_path: Path, monkeypatch):
    """An optimiser that moves one weight by its last bit."""

    def careless(graph: bytes) -> bytes:
        model = onnx.load_from_string(graph)
        (weights,) = (one for one in model.graph.initializer if one.name == "w2")
        moved = np.frombuffer(weights.raw_data, "<f4").copy()
        moved[0] = np.nextafter(moved[0], np.float32(9))
        weights.raw_data = moved.tobytes()
        return model.SerializeToString()

    monkeypatch.setattr(graph_optimisation, "_optimised", careless)
    with pytest.raises(ScoreGapTooLarge, match=r"after graph optimisation the score .* and 0 is allowed"):
        put(opened, tmp_path, networks.network(), GraphChanges(optimise=True, most_difference=0.0))
    done = put(opened, tmp_path, networks.network(), OPTIMISE)
    assert 0.0 < done.manifest.optimised.difference < 1e-6


@pytest.mark.parametrize("classes", [0, 3])
def test_trees_have_nothing_to_quantise_or_optimise(opened: TrainingSet, tmp_path: Path, classes: int):
    graph = estimators.boosted(opened, classes=classes)
    with pytest.raises(NothingToQuantise, match=r"its operators are TreeEnsemble.*publish it without `quantise`"):
        put(opened, tmp_path / "models", graph, BOTH)
    assert not (tmp_path / "models").exists()
    done = put(opened, tmp_path / "models", graph, OPTIMISE)
    assert done.manifest.optimised is None
    assert (done.folder / "model.onnx").read_bytes() == graph, "as it was given"
    assert "Changes of its graph" not in (done.folder / "card.html").read_text()


def test_a_graph_without_weights_has_nothing_to_quantise():
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", "n"]) for name in ("input", "other")]
    output = helper.make_tensor_value_info("score", TensorProto.FLOAT, ["n", "n"])
    graph = helper.make_graph([helper.make_node("MatMul", ["input", "other"], ["score"])], "g", inputs, [output])
    bare = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9).SerializeToString()
    with pytest.raises(NothingToQuantise, match="MatMul"):
        change_graph(bare, QUANTISE)


def test_operators_that_mix_rows_are_found_wherever_they_are():
    assert not scales_by_batch(networks.network())
    assert scales_by_batch(change_graph(networks.network(), QUANTISE).graph)
    assert scales_by_batch(change_graph(networks.network(), BOTH).graph)
    inner = onnx.load_from_string(change_graph(networks.network(), QUANTISE).graph).graph
    branch = helper.make_node("If", ["yes"], ["score"], then_branch=inner, else_branch=inner)
    whole = helper.make_model(helper.make_graph([branch], "g", [], []))
    assert scales_by_batch(whole.SerializeToString())


def test_a_network_whose_rows_are_alike_is_run_row_by_row_all_the_same(opened: TrainingSet, tmp_path: Path):
    """Where every row has the extremes of all, a proof on these rows finds no difference, and others would."""
    flat = networks.flat()
    done = put(opened, tmp_path, flat, GraphChanges(quantise=True, most_difference=0.5))
    assert done.manifest.signature.rows_a_run == 1
