"""`skewless publish`: what it refuses, and what it says of a graph that was changed."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pandas as pd
import pytest
from feast import Entity, FeatureService, FeatureStore, FeatureView, FileSource, RequestSource, ValueType
from feast import Field as FeastField
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Float32, Float64, Int64, String, UnixTimestamp
from typer.testing import CliRunner, Result

from skewless.cli import app
from skewless.definitions.compatibility import DefinitionsChanged
from skewless.model.publishing.graph_optimisation import NothingToQuantise
from skewless.model.training import train, training_set
from skewless.model.training.training_set import TrainingSet
from skewless.project.project import ProjectContext
from skewless.registry.bundle_folder import open_bundle
from skewless.registry.cpu_features import processor_features
from skewless.runtime.settings import ProjectSettings
from tests.models import learnable_project, networks

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning:feast", "ignore::DeprecationWarning")
STORE = """
project: late
provider: local
registry: {registry_type: sql, path: "sqlite:///registry.db?plugin=skewless"}
offline_store: {type: skewless.feast.SkewlessOfflineStore}
online_store: {type: sqlite, path: online.db}
entity_key_serialization_version: 3
"""
TRANSFORMS = """
def rush(*, mean, hour):
    xp = mean.__array_namespace__()
    return {"swell": xp.astype(mean * hour, xp.float32)}
"""
origin = Entity(name="origin", join_keys=["origin"], value_type=ValueType.STRING)
dest = Entity(name="dest", join_keys=["dest"], value_type=ValueType.STRING)
tailnum = Entity(name="tailnum", join_keys=["tailnum"], value_type=ValueType.STRING)
asked = RequestSource(name="asked", schema=[FeastField(name="hour", dtype=Int64)])
MEAN, COUNT = FeastField(name="mean", dtype=Float32), FeastField(name="departures", dtype=Int64)
GATE = FeastField(name="gate", dtype=String)
KNOWN = {"known_by": "created_timestamp"}


def table(name: str) -> FileSource:
    created = "created_timestamp"
    return FileSource(name=name, path=name, timestamp_field="event_timestamp", created_timestamp_column=created)


def delays(
    *schema: FeastField, entity: Entity = origin, ttl: timedelta = timedelta(hours=3), tags: dict[str, str] = KNOWN
) -> FeatureView:
    fields = list(schema) or [MEAN, COUNT, GATE]
    return FeatureView(name="delays", entities=[entity], schema=fields, source=table("delays"), ttl=ttl, tags=tags)


planes = FeatureView(
    name="planes",
    entities=[tailnum],
    schema=[FeastField(name="age", dtype=Float64), FeastField(name="built", dtype=UnixTimestamp)],
    source=table("planes"),
)


def on_demand():
    @on_demand_feature_view(
        sources=[delays()[["mean"]], asked], schema=[FeastField(name="swell", dtype=Float32)], mode="pandas"
    )
    def rush(inputs: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"swell": (inputs["mean"] * inputs["hour"]).astype("float32")})

    return rush


rush = on_demand()
late = FeatureService(name="late", features=[delays()[["mean", "departures"]], planes[["age"]], rush])
OBJECTS = [origin, dest, tailnum, delays(), planes, rush, late]


@pytest.fixture(scope="module")
def learnt(tmp_path_factory) -> Path:
    """A project whose model is trained: its folder, to be copied and not touched."""
    root = tmp_path_factory.mktemp("late")
    with pytest.MonkeyPatch.context() as environment:
        repo = begin(root, environment)
        store = FeatureStore(repo_path=str(repo))
        store.apply(OBJECTS)
        folders = ProjectSettings.read().folders
        learnable_project.write_tables(folders.data)
        compiled = ProjectContext(ProjectSettings.read()).service("late")
        training_set.run(compiled, learnable_project.spine(), folders.training / "late")
        made = TrainingSet(folders.training / "late")
        train.run(made, learnable_project.LABEL_COLUMN, learnable_project.SPLIT, learnable_project.learner(20))
    return root


def begin(root: Path, environment: pytest.MonkeyPatch) -> Path:
    repo = root / "feature_repo"
    repo.mkdir(exist_ok=True)
    (repo / "feature_store.yaml").write_text(STORE)
    (repo / "transforms.py").write_text(TRANSFORMS)
    environment.setenv("SKEWLESS_STATE", str(root / ".skewless"))
    environment.setenv("SKEWLESS_FEATURE_REPO", str(repo))
    return repo


@pytest.fixture
def project(learnt: Path, monkeypatch: pytest.MonkeyPatch):
    """The project, whose definitions are those of its training set before each test."""
    repo = begin(learnt, monkeypatch)
    yield repo
    (repo / "transforms.py").write_text(TRANSFORMS)
    FeatureStore(repo_path=str(repo)).apply(OBJECTS)


def publish(*words: str) -> Result:
    return CliRunner().invoke(app, ["publish", "--service", "late", *words], catch_exceptions=False)


def test_the_definitions_of_the_training_set_are_published(project: Path):
    told = publish("--model", "same")
    assert told.exit_code == 0, told.output
    assert "same 1.0.0 proven and published" in told.output
    wider = delays(MEAN, COUNT, GATE, FeastField(name="new", dtype=Float32))
    FeatureStore(repo_path=str(project)).apply([origin, wider])
    assert "unchanged" in publish("--model", "same").output, "a feature that no model takes does not matter"


def test_a_version_that_was_rolled_back_stays_back(project: Path):
    registry = ProjectSettings.read().registry
    publish("--model", "back", "--version", "1.0.0")
    publish("--model", "back", "--version", "2.0.0")
    assert registry.rollout("back").champion == "2.0.0"
    CliRunner().invoke(app, ["models", "rollback", "back", "--reason", "worse", "--by", "ada"], catch_exceptions=False)
    told = " ".join(publish("--model", "back").output.split())
    assert "back 2.0.0 published before, unchanged" in told
    assert "2.0.0 stays back: ada made another version the champion" in told
    assert "(roll back: worse); `skewless models promote back 2.0.0`" in told
    assert registry.rollout("back").champion == "1.0.0"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            delays(FeastField(name="average", dtype=Float32), COUNT),
            "feature mean was Float32 in training and is absent",
        ),
        (delays(FeastField(name="mean", dtype=Float64), COUNT), "feature mean was Float32 in training and is Float64"),
        (delays(MEAN, FeastField(name="departures", dtype=Float32)), "feature departures was Int64 .* and is Float32"),
        (
            delays(ttl=timedelta(hours=2)),
            "delays: ttl was 3:00:00 in training and is 2:00:00 in the registry",
        ),
        (delays(tags={}), "delays: known_by was created_timestamp in training and is event_timestamp"),
        (delays(tags=KNOWN | {"deleted_field": "gone"}), "delays: deleted_field was none in training and is gone"),
        (
            delays(entity=dest),
            "join key was origin String in training and is dest String",
        ),
        (TRANSFORMS.replace("mean * hour", "mean + hour"), "transform rush: its graph was .* in training and is"),
        ("", "transform rush: its graph was .* in training and is absent now"),
    ],
    ids=["renamed", "retyped", "another retyped", "ttl", "known by", "tombstones", "keys", "transform", "no transform"],
)
def test_a_model_on_other_definitions_is_not_published(project: Path, change: FeatureView | str, told: str):
    if isinstance(change, str):
        (project / "transforms.py").write_text(change)
        FeatureStore(repo_path=str(project)).apply([on_demand()])
    else:
        FeatureStore(repo_path=str(project)).apply([origin, dest, change])
    with pytest.raises(DefinitionsChanged, match=rf"^the model of training set late was trained on .*{told}"):
        publish("--model", "other")
    graph = project / "ready.onnx"
    graph.write_bytes(networks.network())
    with pytest.raises(DefinitionsChanged, match=told):
        publish("--model", "other", "--onnx", str(graph))
    assert not (ProjectSettings.read().folders.models / "other").exists()


def test_a_graph_is_optimised_and_quantised_on_request(project: Path):
    graph = project / "ready.onnx"
    graph.write_bytes(networks.network(idle=True))
    told = publish("--model", "net", "--onnx", str(graph), "--quantise", "--optimise", "--max-score-difference", "0.4")
    assert "int8 quantisation and graph optimisation: " in told.output
    assert "(allowed 0.4)" in told.output
    place = ProjectSettings.read().folders.models / "net" / "1.0.0"
    said = open_bundle(place, processor_features()).manifest.optimised
    assert said.steps == ("int8 quantisation", "graph optimisation")
    with pytest.raises(NothingToQuantise, match="TreeEnsembleClassifier"):
        publish("--model", "trees", "--quantise")
    assert not (place.parents[1] / "trees").exists()


@pytest.mark.parametrize("words", [["--max-score-difference", "0.1"], ["--optimise", "--max-score-difference", "-1"]])
def test_a_bound_is_of_a_change_and_not_negative(project: Path, words: list[str]):
    told = publish("--model", "bounded", *words)
    assert told.exit_code == 2
    assert "--max-score-difference" in told.output
