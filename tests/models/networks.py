"""Small networks as ONNX graphs of one float32 matrix of four columns, for what can be done to graphs."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from onnx import ModelProto, TensorProto, helper, numpy_helper

from skewless.contract.model.bundle import Bundle
from skewless.model.conversion.onnx_import import ImportOptions

COLUMNS = 4
SCALE = np.array([0.02, 0.05, 0.03, 0.04], np.float32)


def network(width: int = 64, *, classes: bool = False, idle: bool = False, seed: int = 3) -> bytes:
    """Two layers and one score a row, or the `probabilities` of two classes; `idle` puts in what does nothing."""
    rng = np.random.default_rng(seed)
    sizes = ((COLUMNS, width), (width, width), (width, 1))
    weights = {f"w{n}": (rng.normal(size=size) / np.sqrt(size[0])).astype("f4") for n, size in enumerate(sizes)}
    nodes = [
        helper.make_node("IsNaN", ["input"], ["missing"]),
        helper.make_node("Where", ["missing", "zero", "input"], ["known"]),
        helper.make_node("Mul", ["known", "scale"], ["scaled"]),
        helper.make_node("Identity" if idle else "Tanh", ["scaled"], ["h0"]),
        helper.make_node("MatMul", ["h0", "w0"], ["a0"]),
        helper.make_node("Tanh", ["a0"], ["h1"]),
        helper.make_node("MatMul", ["h1", "w1"], ["a1"]),
        helper.make_node("Tanh", ["a1"], ["h2"]),
        helper.make_node("MatMul", ["h2", "w2"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["late" if classes else "score"]),
    ]
    if classes:
        nodes.append(helper.make_node("Sub", ["one", "late"], ["punctual"]))
        nodes.append(helper.make_node("Concat", ["punctual", "late"], ["probabilities"], axis=1))
    told = ("probabilities", 2) if classes else ("score", 1)
    constants = {**weights, "zero": np.zeros(1, "f4"), "one": np.ones(1, "f4"), "scale": SCALE}
    return made(nodes, told, constants).SerializeToString()


def scaled() -> bytes:
    """A product whose factor ONNX Runtime moves behind the sum: the same but for its last bits."""
    rng = np.random.default_rng(9)
    nodes = [
        helper.make_node("IsNaN", ["input"], ["missing"]),
        helper.make_node("Where", ["missing", "zero", "input"], ["known"]),
        helper.make_node("Mul", ["known", "tenth"], ["less"]),
        helper.make_node("MatMul", ["less", "weights"], ["score"]),
    ]
    weights = rng.normal(size=(COLUMNS, 1)).astype("f4")
    return made(nodes, ("score", 1), {"weights": weights, "zero": np.zeros(1, "f4"), "tenth": np.float32(0.1)}
    ).SerializeToString()  # fmt: skip


def flat() -> bytes:
    """Of a row it asks only whether there are values."""
    nodes = [
        helper.make_node("IsNaN", ["input"], ["missing"]),
        helper.make_node("Cast", ["missing"], ["known"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["known", "zero"], ["none"]),
        helper.make_node("Add", ["none", "scale"], ["same"]),
        helper.make_node("MatMul", ["same", "weights"], ["score"]),
    ]
    constants = {"weights": np.ones((COLUMNS, 1), "f4"), "zero": np.zeros(1, "f4"), "scale": SCALE}
    return made(nodes, ("score", 1), constants).SerializeToString()


def made(nodes: list, told: tuple[str, int], constants: dict[str, np.ndarray]) -> ModelProto:
    used = {name for node in nodes for name in node.input}
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", COLUMNS])],
        [helper.make_tensor_value_info(told[0], TensorProto.FLOAT, ["n", told[1]])],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items() if name in used],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


NETWORK = ImportOptions({"now": ("mean", "hour"), "plane_age": ("age",)})


def as_told(bundle: Bundle, rows: pa.Table) -> list:
    """What the batch wrote, as JSON tells it."""
    columns = {group.column: rows.column(group.column).to_pylist() for group in bundle.signature.outputs}
    if len(columns) == 1:
        return columns["score"]
    plain = {name.removeprefix("score:"): values for name, values in columns.items()}
    return [dict(zip(plain, row, strict=True)) for row in zip(*plain.values(), strict=True)]
