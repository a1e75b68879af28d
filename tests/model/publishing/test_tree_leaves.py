"""The leaves of real models: LightGBM's own contributions, XGBoost's, and models that cannot be explained."""

from __future__ import annotations

from collections.abc import Mapping

import lightgbm as lgb
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skewless.contract.model.onnx_session import open_session
from skewless.contract.model.shapley import ShapleyExplainer, beyond_rounding
from skewless.contract.model.tree_leaves import parse_leaves
from skewless.model.conversion.lightgbm_export import convert, leaf_counts, narrowed
from skewless.model.publishing.tree_ensemble import NotExplainable, read
from skewless.model.publishing.tree_leaves import leaves_of
from tests.models import trees
from tests.oracles import Leaf, Split

COLUMNS = 6
FIXED = {"verbosity": -1, "num_threads": 1, "seed": 3, "deterministic": True, "force_row_wise": True}


def rows(count: int = 1_500, *, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of many sizes, ties and missing values, and three classes."""
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(count, COLUMNS)).astype(np.float32)
    matrix[:, 1] = np.round(matrix[:, 1])
    matrix[:, 2] *= 1e6
    matrix[rng.random(matrix.shape) < 0.15] = np.nan
    signal = np.nan_to_num(matrix[:, 0]) + np.nan_to_num(matrix[:, 1]) * np.isnan(matrix[:, 3]) + rng.normal(size=count)
    return matrix, np.digitize(signal, [-0.5, 0.7])


def trained(parameters: Mapping[str, object], rounds: int = 30) -> lgb.Booster:
    matrix, labels = rows()
    if parameters["objective"] == "binary":
        labels = (labels > 0).astype(int)
    return lgb.train({**FIXED, **parameters}, lgb.Dataset(matrix, labels), rounds)


def float32_leaves(booster: lgb.Booster) -> lgb.Booster:
    """The booster with thresholds and leaves as ONNX keeps them."""
    lines = []
    for text in narrowed(booster).model_to_string().splitlines():
        line = text
        if line.startswith("leaf_value="):
            values = np.array(line.removeprefix("leaf_value=").split(), np.float64).astype(np.float32)
            line = "leaf_value=" + " ".join(repr(float(value)) for value in values)
        lines.append(line)
    return lgb.Booster(model_str="\n".join(line for line in lines if not line.startswith("tree_sizes=")))


def compiled(booster: lgb.Booster, output: str) -> ShapleyExplainer:
    leaves = leaves_of(read(convert(booster, COLUMNS), [output]), leaf_counts(booster), "lightgbm")
    return ShapleyExplainer(parse_leaves(leaves.to_parquet(), COLUMNS), COLUMNS)


MODELS = {
    "binary": {"objective": "binary"},
    "bagged": {"objective": "binary", "bagging_fraction": 0.6, "bagging_freq": 1, "feature_fraction": 0.5},
    "deep": {"objective": "binary", "num_leaves": 200, "min_data_in_leaf": 1},
    "stumps": {"objective": "binary", "num_leaves": 2},
    "constant": {"objective": "binary", "min_gain_to_split": 1e9},
    "no missing values": {"objective": "binary", "use_missing": False},
    "classes": {"objective": "multiclass", "num_class": 3},
    "regression": {"objective": "regression", "linear_tree": False},
    "poisson": {"objective": "poisson"},
}


@pytest.mark.parametrize("name", MODELS)
def test_they_are_lightgbms_own(name: str):
    booster = trained(MODELS[name])
    output = "variable" if name in ("regression", "poisson") else "probabilities"
    matrix = rows(300, seed=9)[0]
    matrix[0], matrix[1], matrix[2] = np.nan, np.inf, -np.inf
    if name == "no missing values":
        matrix = matrix[~np.isnan(matrix).any(axis=1)]
    one = compiled(booster, output)
    found = one.of(matrix)
    own = np.asarray(float32_leaves(booster).predict(matrix, pred_contrib=True))
    own = own.reshape(len(matrix), len(found.base), COLUMNS + 1)
    assert np.abs(found.values - own[:, :, :COLUMNS]).max() < 1e-12
    assert np.abs(found.base - own[:, :, COLUMNS]).max() < 1e-12
    raw = np.asarray(float32_leaves(booster).predict(matrix, raw_score=True)).reshape(found.raw.shape)
    assert np.abs(found.raw - raw).max() < 1e-12
    assert np.abs(found.base + found.values.sum(axis=2) - found.raw).max() < 1e-12
    told = open_session(convert(booster, COLUMNS)).run([output], {"input": matrix})[0]
    assert beyond_rounding(one, matrix, told, None) <= 0
    # With leaves in float64, as LightGBM keeps them, only their rounding to float32 is between.
    own = np.asarray(booster.predict(matrix, pred_contrib=True)).reshape(own.shape)
    assert np.abs(found.values - own[:, :, :COLUMNS]).max() < 1e-5 * (1 + np.abs(own).max())


@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(st.lists(trees.tree(4), min_size=1, max_size=3), st.lists(st.tuples(*[trees.VALUES] * 4), max_size=30))
def test_rows_are_counted_where_they_end(of, given_rows):
    """Against what ONNX Runtime tells of each row where each leaf has a weight of its own."""
    matrix = np.array(given_rows, np.float32).reshape(-1, 4)
    for one in of:
        numbers = iter(range(1, 1_000))

        def numbered(node, numbers=numbers):
            if isinstance(node, Leaf):
                return Leaf((float(next(numbers)),), 0)
            true, false = numbered(node.true), numbered(node.false)
            return Split(node.column, node.mode, node.threshold, node.missing_true, true, false)

        content = trees.onnx_graph([numbered(one)], 4)
        found = read(content, ["score"])
        weights = [found.adds[int(leaf)][0][1] for leaf in found.leaves]
        told = open_session(content).run(["score"], {"input": matrix})[0][:, 0].tolist()
        assert dict(zip(weights, found.leaf_counts(matrix).tolist(), strict=True)) == {
            w: told.count(w) for w in weights
        }


@pytest.mark.parametrize("objective", ["reg:squarederror", "binary:logistic", "multi:softprob"])
def test_xgboosts_trees_are_told_by_the_rows_of_the_training_set(objective: str):
    import xgboost
    from onnxmltools import convert_xgboost
    from onnxmltools.convert.common.data_types import FloatTensorType

    matrix, labels = rows()
    kind = xgboost.XGBRegressor if objective.startswith("reg") else xgboost.XGBClassifier
    model = kind(n_estimators=12, max_depth=4, n_jobs=1, objective=objective)
    model.fit(matrix, labels if "multi" in objective else labels > 0)
    types = [("input", FloatTensorType([None, COLUMNS]))]
    content = convert_xgboost(model, initial_types=types).SerializeToString()
    session = open_session(content)
    output = session.get_outputs()[-1].name
    ensemble = read(content, [output])
    leaves = leaves_of(ensemble, ensemble.leaf_counts(matrix), "rows")
    one = ShapleyExplainer(parse_leaves(leaves.to_parquet(), COLUMNS), COLUMNS)
    assert beyond_rounding(one, matrix, session.run([output], {"input": matrix})[0], None) <= 0
    found = one.of(matrix[:200])
    assert np.abs(found.base + found.values.sum(axis=2) - found.raw).max() < 1e-11
    if objective == "reg:squarederror":  # whose covers are rows too; its sums are in float32
        own = model.get_booster().predict(xgboost.DMatrix(matrix[:200]), pred_contribs=True)
        assert np.abs(found.values[:, 0] - own[:, :COLUMNS]).max() < 1e-5
        assert found.base[0] == pytest.approx(own[0, COLUMNS], abs=1e-5)


STUMP = Split(0, "BRANCH_LEQ", 0.0, False, Leaf((1.0,), 1), Leaf((2.0,), 1))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (trees.onnx_graph([STUMP], 2, mode="BRANCH_EQ"), r"split by BRANCH_EQ \(categories\)"),
        (trees.onnx_graph([STUMP], 2, function="MAX"), "joined by MAX"),
        (trees.onnx_graph([STUMP], 2, post_transform="PROBIT"), "link PROBIT is not known"),
    ],
)
def test_what_cannot_be_explained_is_named(content: bytes, told: str):
    with pytest.raises(NotExplainable, match=told):
        read(content, ["score", "probabilities"])


def test_categories_of_lightgbm_are_named():
    matrix, _ = rows()
    matrix[:, 1] = np.arange(len(matrix)) % 7
    labels = np.isin(matrix[:, 1], [1, 3, 4])
    booster = lgb.train({**FIXED, "objective": "binary"}, lgb.Dataset(matrix, labels, categorical_feature=[1]), 5)
    with pytest.raises(NotExplainable, match="categories"):
        read(convert(booster, COLUMNS), ["probabilities"])


def test_other_outputs_and_counts_of_other_trees_are_refused():
    found = trees.onnx_graph([STUMP], 2, post_transform="LOGISTIC")
    with pytest.raises(NotExplainable, match="none of its outputs"):
        read(found, ["label"])
    with pytest.raises(NotExplainable, match="3 leaves were counted, and its graph has 2"):
        leaves_of(read(found, ["probabilities"]), np.ones(3), "lightgbm")
