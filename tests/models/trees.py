"""Small trees of the oracle as ONNX graphs, and hypothesis's strategies of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from hypothesis import strategies as st
from onnx import TensorProto, helper

from skewless.contract.model.tree_leaves import TreeLeaves
from skewless.model.publishing.tree_ensemble import TreeEnsemble, read
from skewless.model.publishing.tree_leaves import leaves_of
from tests.oracles import COMPARE, Leaf, Split, Tree

THRESHOLDS = (-np.inf, -1.5, -0.0, 0.1, 1.0, 3.4028235e38)
VALUES = st.sampled_from([*THRESHOLDS, 0.0, 0.10000001, 1.0000001, 7.0, np.inf, np.nan])
"""On thresholds, just beside them, and missing."""


def leaf(targets: int) -> st.SearchStrategy[Leaf]:
    weight = st.floats(-100, 100, width=32)
    return st.builds(Leaf, st.tuples(*[weight] * targets), st.integers(0, 50))


def tree(columns: int, targets: int = 1) -> st.SearchStrategy[Tree]:
    """Of up to a dozen leaves; the same column may split again and again, and some leaves no row got to."""
    return st.recursive(
        leaf(targets),
        lambda branch: st.builds(
            lambda column, mode, threshold, missing_true, true, false: Split(
                # Nothing is below -inf.
                column, mode, 0.1 if mode in ("BRANCH_LT", "BRANCH_GTE") and threshold == -np.inf else threshold,
                missing_true, true, false,
            ),
            st.integers(0, columns - 1),
            st.sampled_from(sorted(COMPARE)),
            st.sampled_from(THRESHOLDS).map(lambda value: float(np.float32(value))),
            st.booleans(),
            branch,
            branch,
        ),
        max_leaves=12,
    )  # fmt: skip


def nodes(one: Tree) -> Iterator[Tree]:
    yield one
    if isinstance(one, Split):
        yield from nodes(one.true)
        yield from nodes(one.false)


def onnx_graph(
    trees: Sequence[Tree],
    columns: int,
    *,
    targets: int = 1,
    base: Sequence[float] = (),
    post_transform: str = "NONE",
    mode: str | None = None,
    function: str = "SUM",
) -> bytes:
    """A regressor, whose output is `score`; where it has a post transform a classifier with `probabilities`.

    `mode` stands in for those of all splits.
    """
    classifier = post_transform != "NONE"
    kind = "class" if classifier else "target"
    given: dict[str, list] = {}

    def put(**members: object) -> None:
        for name, value in members.items():
            given.setdefault(name, []).append(value)

    for tree_id, one in enumerate(trees):
        for node_id, node in enumerate(nodes(one)):
            put(nodes_treeids=tree_id, nodes_nodeids=node_id)
            if isinstance(node, Leaf):
                put(nodes_modes="LEAF", nodes_featureids=0, nodes_values=0.0, nodes_truenodeids=0)
                put(nodes_falsenodeids=0, nodes_missing_value_tracks_true=0)
                for target, weight in enumerate(node.weights):
                    put(**{f"{kind}_treeids": tree_id, f"{kind}_nodeids": node_id})
                    put(**{f"{kind}_ids": target, f"{kind}_weights": weight})
            else:
                put(nodes_modes=mode or node.mode, nodes_featureids=node.column, nodes_values=node.threshold)
                put(nodes_truenodeids=node_id + 1, nodes_falsenodeids=node_id + 1 + len(list(nodes(node.true))))
                put(nodes_missing_value_tracks_true=int(node.missing_true))
    members: dict[str, object] = {**given, "post_transform": post_transform}
    if base:
        members["base_values"] = list(base)
    if classifier:
        members["classlabels_int64s"] = list(range(max(targets, 2)))
    else:
        members |= {"n_targets": targets, "aggregate_function": function}
    outputs = ["label", "probabilities"] if classifier else ["score"]
    made = helper.make_node(
        "TreeEnsembleClassifier" if classifier else "TreeEnsembleRegressor",
        ["input"],
        outputs,
        domain="ai.onnx.ml",
        **members,
    )
    width = max(targets, 2) if classifier else targets
    told = [helper.make_tensor_value_info(outputs[-1], TensorProto.FLOAT, ["n", width])]
    if classifier:
        told.insert(0, helper.make_tensor_value_info("label", TensorProto.INT64, ["n"]))
    taken = [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", columns])]
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    graph = helper.make_graph([made], "trees", taken, told)
    content: bytes = helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString()
    return content


def compiled_leaves(content: bytes, of: list[Tree], *, output: str) -> TreeLeaves:
    found = read(content, [output])
    return leaves_of(found, leaf_rows(found, of), "rows")


def leaf_rows(found: TreeEnsemble, of: list[Tree]) -> np.ndarray:
    """The rows at the leaves as the oracle has them, in the order of the ensemble."""

    def lower_first(node: Tree) -> list[int]:
        if isinstance(node, Leaf):
            return [node.rows]
        true, false = lower_first(node.true), lower_first(node.false)
        return true + false if node.mode in ("BRANCH_LEQ", "BRANCH_LT") else false + true

    rows = np.array([rows for one in of for rows in lower_first(one)], np.float64)
    assert len(rows) == len(found.leaves)
    return rows
