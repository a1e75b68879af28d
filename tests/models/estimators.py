"""Estimators of several makers as ONNX graphs, on the features of `learned` with a text among them."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import onnxruntime as ort
import pyarrow.parquet as pq
from onnx import TensorProto, helper, numpy_helper

from skewless.contract.plan import Field, ModelColumn, Plan, RequestInput, StoredFeature
from skewless.definitions.compiler import CompiledService
from skewless.model.training import training_set
from skewless.model.training.training_set import TrainingSet
from tests.models import learnable_project, tiny
from tests.tables.histories import sources

COLUMNS = (
    ModelColumn("delays__mean", StoredFeature("delays", "mean")),
    ModelColumn("delays__departures", StoredFeature("delays", "departures"), default=0.0),
    ModelColumn("delays__gate", StoredFeature("delays", "gate")),
    ModelColumn("planes__age", StoredFeature("planes", "age"), default=-1.0),
    ModelColumn("hour", RequestInput("hour")),
)


def plan(*, texts: bool = True) -> Plan:
    columns = COLUMNS if texts else tuple(one for one in COLUMNS if one.name != "delays__gate")
    return Plan("typed", "tests", (tiny.DELAYS, tiny.PLANES), (Field("hour", "Int64"),), (), columns)


def definitions(data: Path, *, texts: bool = True) -> CompiledService:
    contract = plan(texts=texts)
    return CompiledService(contract, None, sources(data, contract))


def joined(folder: Path, data: Path, *, texts: bool = True) -> TrainingSet:
    training_set.run(definitions(data, texts=texts), learnable_project.spine(), folder)
    return TrainingSet(folder)


def rows(opened: TrainingSet) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Columns as scikit-learn takes them, and three classes that depend on them."""
    table = pq.read_table(opened.folder / "data.parquet")
    found = {
        "mean": np.nan_to_num(table["delays__mean"].to_numpy().astype(np.float32)),
        "departures": table["delays__departures"].fill_null(0).to_numpy(),
        "hour": table["hour"].to_numpy().astype(np.float32),
        "age": table["planes__age"].fill_null(-1.0).to_numpy(),
    }
    if "delays__gate" in table.column_names:
        found["gate"] = table["delays__gate"].fill_null("").to_numpy(zero_copy_only=False).astype(object)
    return found, np.array(["calm", "busy", "late"])[(found["hour"].astype(int) // 6 + (found["age"] > 10)) % 3]


def pipeline(opened: TrainingSet, *, strength: float = 1.0, classes: int = 3, filled: bool = False) -> bytes:
    """A scikit-learn pipeline of two or three classes that may fill nulls: text, float32 and int64 inputs, each by its feature's name."""
    import pandas as pd
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType, Int64TensorType, StringTensorType
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    columns, labels = rows(opened)
    if classes == 2:
        labels = (labels == "late").astype(np.int64)
    frame = pd.DataFrame({name: columns[name] for name in ("gate", "mean", "departures")})
    steps = [("gate", OneHotEncoder(handle_unknown="ignore"), ["gate"]), ("rest", StandardScaler(), ["mean"])]
    if filled:
        steps[1] = ("rest", SimpleImputer(strategy="constant", fill_value=0.0), ["mean"])
    steps.append(("count", "passthrough", ["departures"]))
    made = Pipeline([("columns", ColumnTransformer(steps)), ("model", LogisticRegression(C=strength, max_iter=200))])
    made.fit(frame, labels)
    types = [("gate", StringTensorType([None, 1])), ("mean", FloatTensorType([None, 1]))]
    types.append(("departures", Int64TensorType([None, 1])))
    return to_onnx(made, initial_types=types, options={"zipmap": False}).SerializeToString()


def boosted(opened: TrainingSet, *, classes: int = 0) -> bytes:
    """XGBoost on one matrix: a regression, or so many classes."""
    import xgboost
    from onnxmltools import convert_xgboost
    from onnxmltools.convert.common.data_types import FloatTensorType

    columns, labels = rows(opened)
    matrix = np.stack([columns[name].astype(np.float32) for name in ("mean", "departures", "age", "hour")], axis=1)
    if classes:
        model = xgboost.XGBClassifier(n_estimators=12, max_depth=4, n_jobs=1)
        model.fit(matrix, np.unique(labels, return_inverse=True)[1] % classes)
    else:
        model = xgboost.XGBRegressor(n_estimators=12, max_depth=4, n_jobs=1)
        model.fit(matrix, columns["hour"] * 0.1 + columns["age"] * 0.01)
    return convert_xgboost(model, initial_types=[("input", FloatTensorType([None, 4]))]).SerializeToString()


def leaves(opened: TrainingSet) -> bytes:
    """LightGBM on one matrix, three classes."""
    import lightgbm
    from onnxmltools import convert_lightgbm
    from onnxmltools.convert.common.data_types import FloatTensorType

    columns, labels = rows(opened)
    matrix = np.stack([columns[name].astype(np.float32) for name in ("mean", "departures", "age", "hour")], axis=1)
    model = lightgbm.LGBMClassifier(n_estimators=12, num_leaves=15, n_jobs=1, verbosity=-1)
    model.fit(matrix, labels)
    types = [("input", FloatTensorType([None, 4]))]
    return convert_lightgbm(model, initial_types=types, zipmap=False).SerializeToString()


def by_hand(opened: TrainingSet, graph: bytes) -> dict[str, np.ndarray]:
    """What onnxruntime alone tells of a training set's rows, all at once: the columns as pyarrow has them, each null
    what a model of this kind is given for it. On one thread: on two onnxruntime adds trees in another order, and of 4,000
    scores of `boosted` 756 have another last bit.
    """
    table = pq.read_table(opened.folder / "data.parquet")

    def column(name: str, null: object = None) -> np.ndarray:
        values = table[name] if null is None else table[name].fill_null(null)
        return values.to_numpy(zero_copy_only=False)

    mean, hour = column("delays__mean").astype(np.float32), column("hour")
    departures, age = column("delays__departures", 0), column("planes__age", -1.0)
    matrix = np.stack([one.astype(np.float32) for one in (mean, departures, age, hour)], axis=1)
    given = {"input": matrix, "plane_age": age, "departures": departures.reshape(-1, 1), "mean": mean.reshape(-1, 1)}
    given["now"] = np.stack([mean, hour.astype(np.float32)], axis=1)
    if "delays__gate" in table.column_names:
        given["gate"] = column("delays__gate", "").astype(object).reshape(-1, 1)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(graph, options)
    wanted = {node.name: given[node.name] for node in session.get_inputs()}
    names = [node.name for node in session.get_outputs()]
    return dict(zip(names, session.run(names, wanted), strict=True))


def network(spoilt: str | None = None) -> bytes:
    """Two inputs (n x 2 of float32, n of float64) and two outputs (n x 3 of float32, n of float64).

    `spoilt` by an operation (`ReduceSum`, `RandomUniformLike`) a row's second output is not the row's alone.
    """
    rng = np.random.default_rng(3)
    weights = {
        "first": rng.normal(size=(2, 32)).astype(np.float32),
        "second": rng.normal(size=(32, 3)).astype(np.float32),
        "scale": np.float64(0.1),
        "zero": np.float32(0),
    }
    nodes = [
        helper.make_node("IsNaN", ["now"], ["missing"]),
        helper.make_node("Where", ["missing", "zero", "now"], ["known"]),
        helper.make_node("MatMul", ["known", "first"], ["hidden"]),
        helper.make_node("Tanh", ["hidden"], ["active"]),
        helper.make_node("MatMul", ["active", "second"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["shares"]),
        helper.make_node("Mul", ["plane_age", "scale"], ["worn"]),
    ]
    told = "worn"
    if spoilt:
        nodes += [
            helper.make_node(spoilt, ["worn"], ["all"]),
            helper.make_node("Add", ["worn", "all"], ["sum"]),
        ]
        told = "sum"
    graph = helper.make_graph(
        nodes,
        "network",
        [
            helper.make_tensor_value_info("now", TensorProto.FLOAT, ["n", 2]),
            helper.make_tensor_value_info("plane_age", TensorProto.DOUBLE, ["n"]),
        ],
        [
            helper.make_tensor_value_info("shares", TensorProto.FLOAT, ["n", 3]),
            helper.make_tensor_value_info(told, TensorProto.DOUBLE, ["n"]),
        ],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in weights.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return made.SerializeToString()


def mixing() -> bytes:
    """One matrix and one score, to which every row adds."""
    nodes = [
        helper.make_node("ReduceSum", ["input"], ["all"], keepdims=1),
        helper.make_node("Slice", ["input", "begin", "end", "axis"], ["last"]),
        helper.make_node("Add", ["last", "all"], ["score"]),
    ]
    ends = {"begin": [3], "end": [4], "axis": [1]}
    graph = helper.make_graph(
        nodes,
        "mixing",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, ["n", 1])],
        [numpy_helper.from_array(np.array(value, np.int64), name) for name, value in ends.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9).SerializeToString()


def undefaulted(folder: Path, data: Path) -> TrainingSet:
    """The training set of a plan whose whole number has no default."""
    contract = plan()
    bare = tuple(msgspec.structs.replace(column, default=None) for column in contract.columns)
    changed = msgspec.structs.replace(contract, columns=bare)
    training_set.run(CompiledService(changed, None, sources(data, changed)), learnable_project.spine(), folder)
    return TrainingSet(folder)
