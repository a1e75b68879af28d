"""A project's own function trains a model of any library, which is published, proven and scored like any other."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import numpy as np
import onnx
import pyarrow as pa
import pytest

from skewless.contract.model.signature import MatrixSignature
from skewless.model.conversion.graph_bytes import graph_bytes
from skewless.model.conversion.onnx_import import ModelMismatch
from skewless.model.conversion.trained_models import NotConvertible, convert_model
from skewless.model.publishing import publish
from skewless.model.publishing.publish import VersionPlace
from skewless.model.training import train, training_set
from skewless.model.training.learned_model import LearnerFailed
from skewless.model.training.training_rows import NoKnownLabels
from skewless.model.training.training_set import TrainingSet
from skewless.project import TrainingData
from skewless.project.model import LabelColumn
from skewless.project.windows import TimeSplit
from skewless.registry.bundle_folder import open_bundle
from skewless.registry.cpu_features import processor_features
from skewless.runtime.errors import EmptyWindow
from tests.models import estimators, learnable_project

NOW = learnable_project.SPLIT.end
LABEL, SPLIT = learnable_project.LABEL_COLUMN, learnable_project.SPLIT


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("learned")
    learnable_project.write_tables(folder / "data")
    return folder


@pytest.fixture
def numbers(root: Path, tmp_path: Path) -> TrainingSet:
    return estimators.joined(tmp_path / "numbers", root / "data", texts=False)


@pytest.fixture
def texts(root: Path, tmp_path: Path) -> TrainingSet:
    return estimators.joined(tmp_path / "texts", root / "data")


def scikit(data: TrainingData) -> object:
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    strength = float(data.parameters.get("C", 1.0))
    return make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression(C=strength)).fit(
        data.train.to_numpy(), data.train.labels
    )


def forest(data: TrainingData) -> object:
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline

    trees = RandomForestClassifier(10, random_state=1, n_jobs=1)
    return make_pipeline(SimpleImputer(), trees).fit(data.train.to_numpy(), data.train.labels)


def mixed(data: TrainingData) -> object:
    """Text, whole numbers and floats, chosen by name."""
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OneHotEncoder

    frame = data.train.to_pandas()
    kinds = {name: str(kind) for name, kind in frame.dtypes.items()}
    expected = {"delays__mean": "float32", "delays__departures": "int64", "delays__gate": "object"}
    assert kinds == expected | {"planes__age": "float32", "hour": "float32"}
    columns = ColumnTransformer(
        [
            ("gate", OneHotEncoder(handle_unknown="ignore"), ["delays__gate"]),
            ("mean", SimpleImputer(), ["delays__mean"]),
            ("rest", "passthrough", ["delays__departures", "hour"]),
        ]
    )
    return Pipeline([("columns", columns), ("model", LogisticRegression(max_iter=500))]).fit(frame, data.train.labels)


def boosted(data: TrainingData) -> object:
    import xgboost

    model = xgboost.XGBClassifier(n_estimators=20, max_depth=3, n_jobs=1, early_stopping_rounds=5)
    validate = [(data.validate.to_pandas(), data.validate.labels)]
    return model.fit(data.train.to_pandas(), data.train.labels, eval_set=validate, verbose=False)


def leaves(data: TrainingData) -> object:
    import lightgbm

    model = lightgbm.LGBMClassifier(n_estimators=20, num_leaves=7, n_jobs=1, verbosity=-1)
    return model.fit(data.train.to_numpy(), data.train.labels)


FILES = {
    scikit: [],
    boosted: ["_model.xgboost.ubj"],
    leaves: ["_model.lightgbm.txt"],
}


@pytest.mark.parametrize("function", FILES)
@pytest.mark.filterwarnings("ignore:X does not have valid feature names:UserWarning")
def test_a_model_of_any_library_is_trained_kept_without_pickle_and_published(
    numbers: TrainingSet, tmp_path: Path, function
):
    report = train.run(numbers, LABEL, SPLIT, function)
    assert (report.learner, report.rounds) == (function.__name__, 0)
    assert report.metrics["auc"] > 0.55
    kept = sorted(path.name for path in numbers.folder.glob("_*model*"))
    assert kept == sorted(["_model.onnx", *FILES[function]])
    done = publish.run(TrainingSet(numbers.folder), VersionPlace(tmp_path / "models", "own"), created_at=NOW)
    bundle = open_bundle(done.folder, processor_features())
    assert isinstance(bundle.signature, MatrixSignature) or function is scikit, "sums in a batch may round otherwise"
    assert bundle.manifest.metrics == report.metrics, "measured of the graph that is served"
    assert bundle.manifest.training_rows == report.rows
    again = publish.run(TrainingSet(numbers.folder), VersionPlace(tmp_path / "models", "own"), created_at=NOW)
    assert not again.created


CONVERSION = """
import hashlib, sys
import lightgbm
import numpy as np
from skewless.model.conversion.trained_models import convert_model

rows = np.arange(400, dtype=np.float32).reshape(100, 4)
model = lightgbm.LGBMClassifier(n_estimators=3, num_threads=1, verbose=-1).fit(rows, np.arange(100) % 2)
print(hashlib.sha256(convert_model(model, [(name, "float32") for name in "abcd"]).graph).hexdigest())
"""


def test_a_model_is_the_same_bytes_in_each_process():
    """The converter lists the operator sets in the order of a set: another one for the second and third of these seeds."""
    digests = set()
    for seed in ("19", "20", "22"):
        command = [sys.executable, "-W", "ignore", "-c", CONVERSION]
        environment = os.environ | {"PYTHONHASHSEED": seed}
        digests.add(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)
    assert len(digests) == 1


def test_the_order_of_operator_sets_changes_no_byte():
    value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    graph = onnx.helper.make_graph([onnx.helper.make_node("Identity", ["x"], ["y"])], "model", [value], [value])
    sets = [onnx.helper.make_opsetid("", 9), onnx.helper.make_opsetid("ai.onnx.ml", 1)]
    first, second = (onnx.helper.make_model(graph, opset_imports=order) for order in (sets, sets[::-1]))
    assert first.SerializeToString() != second.SerializeToString()
    assert graph_bytes(first) == graph_bytes(second)
    assert {(each.domain, each.version) for each in second.opset_import} == {("", 9), ("ai.onnx.ml", 1)}


def test_a_frame_has_each_feature_as_a_server_gives_it(texts: TrainingSet, tmp_path: Path):
    report = train.run(texts, LABEL, SPLIT, mixed)
    assert report.gap < 1e-5
    done = publish.run(TrainingSet(texts.folder), VersionPlace(tmp_path / "models", "own"), created_at=NOW)
    bundle = open_bundle(done.folder, processor_features())
    kinds = {spec.name: spec.kind for spec in bundle.manifest.signature.inputs}
    assert (kinds["delays__gate"], kinds["delays__departures"], kinds["hour"]) == ("string", "int64", "float32")


def test_rows_are_arrow_numpy_and_pandas_alike(texts: TrainingSet, numbers: TrainingSet):
    seen: dict[str, TrainingData] = {}

    def look(data: TrainingData) -> object:
        seen["data"] = data
        raise KeyboardInterrupt

    for opened in (texts, numbers):
        with pytest.raises(KeyboardInterrupt):
            train.run(opened, LABEL, SPLIT, look, {"depth": 3})
    data = seen["data"]
    assert data.parameters == {"depth": 3}
    assert data.names == tuple(column.name for column in numbers.plan.columns)
    for rows, window in ((data.train, "train"), (data.validate, "validate")):
        start, end = SPLIT.windows[window]
        times = rows.table.column("event_timestamp").to_pylist()
        assert all(start <= time < end for time in times)
        assert len(rows) == len(rows.labels) == rows.to_arrow().num_rows == len(rows.to_pandas())
        assert rows.to_arrow().column_names == list(rows.to_pandas().columns) == list(data.names)
        assert rows.to_numpy().dtype == np.float32
        np.testing.assert_array_equal(rows.to_numpy(), rows.to_pandas().to_numpy(np.float32))
        assert set(rows.labels) == {0.0, 1.0}


def test_parameters_reach_the_function(numbers: TrainingSet):
    assert (
        train.run(numbers, LABEL, SPLIT, scikit, {"C": 1e-6}).metrics
        != train.run(numbers, LABEL, SPLIT, scikit).metrics
    )


def test_a_ready_graph_may_be_returned(numbers: TrainingSet):
    def ready(data: TrainingData) -> object:
        return convert_model(forest(data), [(name, "float32") for name in data.names]).graph

    report = train.run(numbers, LABEL, SPLIT, forest)
    assert train.run(numbers, LABEL, SPLIT, ready).metrics == report.metrics
    proto = train.run(numbers, LABEL, SPLIT, lambda data: onnx.load_model_from_string(ready(data)))
    assert proto.metrics == report.metrics


def test_a_model_that_its_graph_does_not_follow_is_refused(numbers: TrainingSet):
    """Trees of scikit-learn send a row without a value another way than ONNX does."""
    from sklearn.ensemble import RandomForestClassifier

    def holes(data: TrainingData) -> object:
        return RandomForestClassifier(10, random_state=1, n_jobs=1).fit(data.train.to_numpy(), data.train.labels)

    with pytest.raises(
        LearnerFailed, match=r"do not agree: of 694 test rows \d+ get another score by more than 0\.001"
    ):
        train.run(numbers, LABEL, SPLIT, holes)


def fails(data: TrainingData) -> object:
    return {}["nothing"]


def mixing(data: TrainingData) -> object:
    return estimators.network()


@pytest.mark.parametrize(
    ("function", "error", "reason"),
    [
        (
            fails,
            LearnerFailed,
            r"the learner fails of .* failed: .*test_learned_model\.py, line \d+ .*KeyError: 'nothing'",
        ),
        (
            lambda data: None,
            NotConvertible,
            "a builtins.NoneType, cannot be brought to ONNX: return a LightGBM, XGBoost",
        ),
        (lambda data: b"no graph", ModelMismatch, "ONNX Runtime does not load it"),
        (mixing, ModelMismatch, "the columns of its inputs are not known"),
    ],
)
def test_what_a_function_cannot_do_is_refused_and_the_old_model_stays(
    numbers: TrainingSet, function, error, reason: str
):
    before = train.run(numbers, LABEL, SPLIT, scikit)
    with pytest.raises(error, match=reason):
        train.run(numbers, LABEL, SPLIT, function)
    assert train.load_report(numbers.folder) == before


def test_a_model_of_other_columns_is_refused(numbers: TrainingSet, texts: TrainingSet):
    from sklearn.linear_model import LogisticRegression

    def some(data: TrainingData) -> object:
        return LogisticRegression().fit(np.nan_to_num(data.train.to_numpy())[:, :2], data.train.labels)

    with pytest.raises(NotConvertible, match="it was fitted on 2 columns and the feature service has 4"):
        train.run(numbers, LABEL, SPLIT, some)

    def renamed(data: TrainingData) -> object:
        frame = data.train.to_pandas()[["hour"]].rename(columns={"hour": "other"})
        return LogisticRegression().fit(frame, data.train.labels)

    with pytest.raises(NotConvertible, match="it was fitted on 'other', which is none of delays__mean"):
        train.run(numbers, LABEL, SPLIT, renamed)


def test_another_learner_leaves_no_file_of_the_one_before(numbers: TrainingSet):
    train.run(numbers, LABEL, SPLIT, boosted)
    train.run(numbers, LABEL, SPLIT, learnable_project.learner(5))
    assert sorted(path.name for path in numbers.folder.glob("_*model*")) == ["_model.lightgbm.txt"]
    train.run(numbers, LABEL, SPLIT, scikit)
    assert sorted(path.name for path in numbers.folder.glob("_*model*")) == ["_model.onnx"]


def test_a_window_without_rows_or_without_known_labels_says_what_is_there(root: Path, tmp_path: Path):
    spine = learnable_project.spine()
    training_set.run(learnable_project.definitions(root / "data"), spine, tmp_path / "set")
    opened, later = TrainingSet(tmp_path / "set"), timedelta(days=90)
    times = spine.column("event_timestamp").to_pylist()
    moved = TimeSplit(*(getattr(SPLIT, name) + later for name in ("start", "validate", "test", "end")))
    with pytest.raises(EmptyWindow) as empty:
        train.run(opened, LABEL, moved, learnable_project.learner(5))
    assert f"its rows are from {times[0].isoformat()} to {times[-1].isoformat()}" in str(empty.value)
    with pytest.raises(
        NoKnownLabels, match=r"the validate window, .* and 'late' of none of them was known by then: \d+ "
    ):
        train.run(opened, LabelColumn("late", timedelta(days=11)), SPLIT, learnable_project.learner(5))
    nothing = spine.set_column(spine.schema.get_field_index("late"), "late", pa.nulls(len(spine), pa.bool_()))
    training_set.run(learnable_project.definitions(root / "data"), nothing, tmp_path / "set")
    with pytest.raises(NoKnownLabels, match="have no label, of 0 it became known later"):
        train.run(TrainingSet(tmp_path / "set"), LABEL, SPLIT, learnable_project.learner(5))
