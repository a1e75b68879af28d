"""Any estimator that exports to ONNX: published, proven, and answered over HTTP as it is scored in batch."""

from __future__ import annotations

import shutil
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis

from skewless.contract.errors import InvalidBundle, InvalidPlan
from skewless.contract.model.bundle import Bundle
from skewless.contract.model.signature import MatrixSignature, differing, from_columns, to_columns
from skewless.contract.rollout.rollout import CachePolicy, set_policy
from skewless.model.conversion.onnx_import import ImportOptions, ModelMismatch
from skewless.model.distributions import baseline
from skewless.model.publishing import publish
from skewless.model.publishing.publish import PublishedBundle, VersionPlace
from skewless.model.scoring import batch_score
from skewless.model.scoring.http_replay import HttpReplay, moments
from skewless.model.training.training_set import TrainingSet
from skewless.monitoring.audit import audit
from skewless.monitoring.audit.causes import SkewCause
from skewless.monitoring.audit.evidence import AuditEvidence
from skewless.monitoring.drift import drift
from skewless.monitoring.drift.thresholds import DriftThresholds
from skewless.monitoring.served_log.reader import ServedLogReader
from skewless.offline.join.point_in_time import TIMESTAMP
from skewless.online.store.online_project import OnlineProject
from skewless.online.store.store import SyncOnlineStore
from skewless.registry.bundle_folder import open_bundle
from skewless.registry.cpu_features import processor_features
from skewless.registry.model_registry import ModelRegistry
from skewless.state.database import StateDatabase
from tests.models import estimators, learnable_project
from tests.models.networks import NETWORK, as_told
from tests.services.predict_server import serving, settings_of
from tests.services.waiting import until
from tests.tables.histories import sources, stored

NOW = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    """Tables, a spine, and training sets with a text and without; five published models."""
    root = tmp_path_factory.mktemp("onnx")
    learnable_project.write_tables(root / "data")
    pq.write_table(learnable_project.spine(), root / "spine.parquet")
    texts = estimators.joined(root / "texts", root / "data")
    numbers = estimators.joined(root / "numbers", root / "data", texts=False)
    put(root, "pipeline", estimators.pipeline(texts), texts)
    put(root, "boosted", estimators.boosted(numbers), numbers)
    put(root, "classes", estimators.boosted(numbers, classes=3), numbers)
    put(root, "leaves", estimators.leaves(numbers), numbers)
    put(root, "network", estimators.network(), texts, NETWORK)
    return root


MODELS = ("pipeline", "boosted", "classes", "leaves", "network")
NUMBERS = ("boosted", "classes", "leaves")
"""Those of one matrix."""


def put(
    root: Path, name: str, graph: bytes, training_set: TrainingSet, asked: ImportOptions | None = None
) -> PublishedBundle:
    return publish.run_onnx(
        graph, training_set, VersionPlace(root / "models", name), created_at=NOW, options=asked or ImportOptions()
    )


def opened(root: Path, name: str) -> Bundle:
    return open_bundle(root / "models" / name / "1.0.0", processor_features())


def told(bundle: Bundle, arrays: list[np.ndarray]) -> list[np.ndarray]:
    return bundle.signature.output_arrays(bundle.score(bundle.signature.from_arrays(arrays)))


def test_what_was_read_from_the_graphs(world: Path):
    manifest = opened(world, "pipeline").manifest
    assert [(one.name, one.kind, one.columns) for one in manifest.signature.inputs] == [
        ("gate", "string", ("delays__gate",)),
        ("mean", "float32", ("delays__mean",)),
        ("departures", "int64", ("delays__departures",)),
    ]
    assert [(one.name, one.kind, one.width) for one in manifest.signature.outputs] == [
        ("label", "string", None),
        ("probabilities", "float32", 3),
    ]
    assert isinstance(opened(world, "boosted").signature, MatrixSignature), (
        "a regression on one matrix stays on the short path"
    )
    classes = opened(world, "classes").manifest.signature
    assert [(one.name, one.kind, one.width) for one in classes.outputs] == [
        ("label", "int64", None),
        ("probabilities", "float32", 3),
    ]
    network = opened(world, "network").manifest.signature
    assert [(one.kind, one.flat, len(one.columns)) for one in network.inputs] == [
        ("float32", False, 2),
        ("float64", True, 1),
    ]


@pytest.mark.parametrize("name", MODELS)
@settings(max_examples=25, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_row_gets_what_it_gets_whatever_is_around_it(world: Path, name: str, data):
    bundle = opened(world, name)
    table = pq.read_table(world / ("numbers" if name in NUMBERS else "texts") / "data.parquet")
    values = TrainingSet(world / ("numbers" if name in NUMBERS else "texts")).values(table)
    whole = bundle.signature.input_arrays(bundle.inputs(values))
    size = data.draw(st.integers(1, 1_000))
    places = np.random.default_rng(data.draw(st.integers(0, 99))).integers(0, len(table), size)
    together = told(bundle, [array[places] for array in whole])
    row = data.draw(st.integers(0, size - 1))
    alone = told(bundle, [array[places[row] : places[row] + 1] for array in whole])
    for mine, theirs in zip(together, alone, strict=True):
        assert not differing(mine[row : row + 1], theirs).any()


@pytest.mark.parametrize("name", MODELS)
def test_batch_scores_are_what_onnxruntime_tells_of_the_training_sets_columns(world: Path, tmp_path: Path, name: str):
    bundle, place = opened(world, name), world / "models" / name / "1.0.0"
    spine = batch_score.ScoringSpine(
        world / "spine.parquet", learnable_project.SPLIT.start, learnable_project.SPLIT.end
    )
    views = sources(world / "data", bundle.plan)
    done = batch_score.run(bundle, place, views, spine, tmp_path / "out", scored_at=NOW)
    table = pa.concat_tables([pq.read_table(tmp_path / "out" / part) for part in done.parts])
    training_set = TrainingSet(world / ("numbers" if name in NUMBERS else "texts"))
    told = estimators.by_hand(training_set, (place / "model.onnx").read_bytes())
    if name == "boosted":
        told = {"score": told["variable"]}
    expected = [
        np.reshape(told[group.column.removeprefix("score:")], (done.rows, -1)) for group in bundle.signature.outputs
    ]
    for found, array in zip(from_columns(bundle.signature.outputs, table), expected, strict=True):
        assert found.dtype == array.dtype
        assert not differing(found, array).any()


@pytest.mark.parametrize("name", MODELS)
def test_http_batch_served_log_and_audit_agree(world: Path, tmp_path: Path, redis_url: str, name: str):
    bundle, place = opened(world, name), world / "models" / name / "1.0.0"
    views = sources(world / "data", bundle.plan)
    spine = batch_score.ScoringSpine(
        world / "spine.parquet", learnable_project.SPLIT.start, learnable_project.SPLIT.end
    )
    done = batch_score.run(bundle, place, views, spine, tmp_path / "out", scored_at=NOW)
    table = pa.concat_tables([pq.read_table(tmp_path / "out" / part) for part in done.parts])
    names = [field.name for field in (*bundle.plan.join_keys, *bundle.plan.request)]
    asked = moments(table, 25, least=1)[-20:]
    shutil.copytree(world / "models" / name, tmp_path / "models" / name)
    ModelRegistry(tmp_path / "models", tmp_path / "models").change(
        name, set_policy(name, cache=CachePolicy(1_000, 60.0)), by="a test", at=NOW, reason="kept scores are the same"
    )
    server = settings_of(tmp_path, redis_url, allow_as_of=True)
    with closing(StateDatabase(f"sqlite:///{tmp_path / 'state.db'}")) as state, Redis.from_url(redis_url) as redis:
        project = bundle.plan.project
        both = [(view, views[view.name]) for view in stored(bundle.plan)]
        player = HttpReplay(both, OnlineProject(project, SyncOnlineStore(redis, project), state))
        player.materialize(asked[0].at)
        with serving(server) as live:
            until(lambda: live.client.get("/readyz").status_code == 200)
            for moment in asked:
                player.materialize(moment.at)
                body = {"rows": moment.rows.select(names).to_pylist(), "as_of": moment.at.isoformat()}
                answer = live.client.post(f"/v1/models/{name}/predict", json=body)
                assert answer.status_code == 200, answer.text
                # JSON has no NaN, and tells every other number to the bit.
                assert answer.json()["scores"] == orjson.loads(orjson.dumps(as_told(bundle, moment.rows)))
            again = live.client.post(f"/v1/models/{name}/predict", json=body).json()["scores"]
            assert again == answer.json()["scores"]
            assert live.metric(f'skewless_score_cache_hits_total{{model="{name}",version="1.0.0"}}') >= len(again)
    log = ServedLogReader(tmp_path / "served")
    found = audit.run(bundle, AuditEvidence(views), log, learnable_project.SPLIT.start, NOW)
    assert found.clean, str(found)
    assert (found.rows, found.values > 0) == (sum(len(one.rows) for one in asked) + len(again), True)
    assert (found.score_impact is None) == (name != "boosted"), "outcomes say nothing of named outputs"
    for told in (False, True):
        column = falsify(log.folder, bundle, told=told)
        found = audit.run(bundle, AuditEvidence(views), log, learnable_project.SPLIT.start, NOW)
        assert (found.differing_values, found.columns) == (1, {column: 1})
        assert found.differing_scores == 1 or not told, "another input may get the same score"
        assert {one.cause for one in found.causes} >= ({SkewCause.SCORE} if told else {SkewCause.CORRUPTION})
        assert any(f"{column} was served as" in example for example in found.examples)
        assert max(one.score_shift for one in found.causes) > 0.0 or not told


def falsify(served: Path, bundle: Bundle, *, told: bool) -> str:
    """Overwrite the first input of the first row that is in a file of the log, or what was told of it; the input."""
    file, groups = min(served.rglob("*.parquet")), bundle.signature.outputs if told else bundle.signature.inputs
    table = pq.read_table(file, partitioning=None)
    arrays = [array.copy() for array in from_columns(groups, table)]
    arrays[0][0, 0] = "?" if arrays[0].dtype == object else 77_777
    for group, column in zip(groups, to_columns(groups, arrays), strict=True):
        table = table.set_column(table.schema.get_field_index(group.column), group.field, column)
    pq.write_table(table, file)
    return bundle.signature.inputs[0].names[0]


def test_the_baseline_tells_of_every_input_and_output_and_drift_reads_it(world: Path, tmp_path: Path):
    place = world / "models" / "pipeline" / "1.0.0"
    found, bundle = baseline.read(place, "pipeline", "1.0.0"), opened(world, "pipeline")
    assert list(found.inputs) == ["delays__gate", "delays__mean", "delays__departures"]
    assert set(found.inputs["delays__gate"].counts) == {"A", "B", ""}
    assert {"busy"} < set(found.outputs["score:label"].counts) <= {"calm", "busy", "late"}
    assert "score:probabilities[2]" in found.outputs
    table = pq.read_table(world / "texts" / "data.parquet")
    values = TrainingSet(world / "texts").values(table)
    inputs = bundle.inputs(values)
    served = {f"entity:{key.name}": table.column(key.name) for key in bundle.plan.join_keys}
    served |= {f"{view.name}:status": pa.array(np.zeros(len(table), np.uint8)) for view in bundle.plan.views}
    shown = pa.table(served | {"served_at": table.column(TIMESTAMP)})
    signature = bundle.signature
    for groups, arrays in (
        (signature.inputs, signature.input_arrays(inputs)),
        (signature.outputs, signature.output_arrays(bundle.score(inputs))),
    ):
        for group, column in zip(groups, to_columns(groups, arrays), strict=True):
            shown = shown.append_column(group.field, column)
    window = drift.ServedWindow("pipeline", "1.0.0", learnable_project.SPLIT.start, NOW)
    same = drift.run(window, bundle.plan, found, shown, DriftThresholds(), signature)
    assert {one.kind for one in same.alarms} <= {"view"}, "the statuses here are made up, the values are training's"
    assert {"delays__gate", "score:label", "score:probabilities[0]"} <= {one.name for one in same.subjects}


@pytest.mark.parametrize("name", MODELS)
def test_trees_of_any_maker_tell_contributions(world: Path, name: str):
    bundle = opened(world, name)
    assert (bundle.contributions is not None) == bundle.of_trees == (name in NUMBERS)
    if bundle.contributions is None:
        return
    assert bundle.contributions.head.covers == "rows"
    values = TrainingSet(world / "numbers").values(pq.read_table(world / "numbers" / "data.parquet"))
    (matrix,) = bundle.signature.input_arrays(bundle.inputs(values))
    found = bundle.contributions.of(matrix)
    assert found.raw.shape == (len(matrix), 1 if name == "boosted" else 3)
    assert np.abs(found.base + found.values.sum(axis=2) - found.raw).max() < 1e-11
    # Of all rows that were counted the mean is the base.
    assert found.raw.mean(axis=0) == pytest.approx(found.base, abs=1e-9)


def test_why_a_model_tells_none_is_told(world: Path, tmp_path: Path):
    done = put(tmp_path, "network", estimators.network(), TrainingSet(world / "texts"), NETWORK)
    assert "its graph has 0 tree ensembles" in done.unexplained
    assert not put(world, "boosted", (world / "models/boosted/1.0.0/model.onnx").read_bytes(),
                   TrainingSet(world / "numbers")).unexplained  # fmt: skip


def test_the_same_graph_is_published_once(world: Path):
    again = put(world, "pipeline", (world / "models" / "pipeline" / "1.0.0" / "model.onnx").read_bytes(),
                TrainingSet(world / "texts"))  # fmt: skip
    assert (again.created, again.manifest.version) == (False, "1.0.0")


def test_a_graph_that_mixes_rows_is_run_row_by_row(world: Path, tmp_path: Path):
    done = put(tmp_path, "sums", estimators.network("ReduceSum"), TrainingSet(world / "texts"), NETWORK)
    assert done.manifest.signature.rows_a_run == 1
    assert opened(world, "classes").manifest.signature.rows_a_run == 0, "trees need no blocks"


def test_a_matrix_that_mixes_rows_is_run_row_by_row(world: Path, tmp_path: Path):
    numbers = TrainingSet(world / "numbers")
    done = put(tmp_path, "mixed", estimators.mixing(), numbers)
    assert (done.manifest.signature.rows_a_run, done.manifest.signature.inputs[0].name) == (1, "input")
    assert not put(tmp_path, "mixed", estimators.mixing(), numbers).created


def test_a_graph_that_throws_dice_is_refused(world: Path, tmp_path: Path):
    with pytest.raises(InvalidBundle, match="depends on the batch"):
        put(tmp_path, "dice", estimators.network("RandomUniformLike"), TrainingSet(world / "texts"), NETWORK)
    assert not (tmp_path / "models" / "dice").exists()


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (
            ImportOptions(),
            r"the columns of its inputs are not known; name them as `inputs`: now=COLUMN,COLUMN plane_age=",
        ),
        (ImportOptions({"now": ("mean",), "plane_age": ("age",)}), "its input 'now' has 2 columns and was given 1"),
        (ImportOptions({"nothing": ("mean",)}), r"it has no input 'nothing'; it has \['now', 'plane_age'\]"),
        (ImportOptions(NETWORK.inputs, ("noise",)), r"it has no output 'noise'; it has \['shares', 'worn'\]"),
    ],
)
def test_a_graph_that_does_not_fit_is_told_why(world: Path, asked: ImportOptions, told: str):
    with pytest.raises(ModelMismatch, match=told):
        put(world, "odd", estimators.network(), TrainingSet(world / "texts"), asked)


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        (("gate", "hour"), "column 'delays__gate' is a String; input 'now' takes float32"),
        (("nobody", "hour"), "input 'now' takes 'nobody', which is no column of it"),
    ],
)
def test_a_column_that_does_not_fit_an_input_is_told(world: Path, columns: tuple[str, ...], told: str):
    with pytest.raises(InvalidPlan, match=told):
        put(
            world,
            "odd",
            estimators.network(),
            TrainingSet(world / "texts"),
            ImportOptions({**NETWORK.inputs, "now": columns}),
        )


def test_a_whole_number_needs_a_default(world: Path, tmp_path: Path):
    bare = estimators.undefaulted(tmp_path / "set", world / "data")
    with pytest.raises(InvalidPlan, match="'delays__departures' as int64, and a null is no whole number"):
        put(world, "odd", (world / "models" / "pipeline" / "1.0.0" / "model.onnx").read_bytes(), bare)


def test_garbage_is_no_model(world: Path):
    with pytest.raises(ModelMismatch, match="ONNX Runtime does not load it"):
        put(world, "odd", b"garbage", TrainingSet(world / "texts"))
