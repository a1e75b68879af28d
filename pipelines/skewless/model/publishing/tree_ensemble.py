"""The tree ensemble of an ONNX graph: its trees node by node, and how many rows of a matrix reach each leaf.

Held by tests/model/publishing/test_tree_leaves.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from skewless.contract.errors import SkewlessError
from skewless.contract.model.tree_leaves import Link

_DOMAIN = "ai.onnx.ml"
_LINKS: dict[str, Link] = {"NONE": "none", "LOGISTIC": "logistic", "SOFTMAX": "softmax"}
_STRICT = {"BRANCH_LEQ": False, "BRANCH_GT": False, "BRANCH_LT": True, "BRANCH_GTE": True}
_TRANSPARENT = ("Identity", "Cast", "Mul", "Reshape")
"""Operators that converters put after the trees without changing a score (`Mul` by one); `tree_leaves` proves it on rows."""
_SWAPPED = ("BRANCH_GT", "BRANCH_GTE")
Node = onnx.NodeProto
Counts = NDArray[np.float64]


@dataclass(eq=False)
class NotExplainable(SkewlessError):
    """A model whose scores cannot be explained by contributions; it can be published without them."""

    reason: str

    def __str__(self) -> str:
        return f"its scores cannot be explained by contributions: {self.reason}"


@dataclass(frozen=True, slots=True)
class TreeEnsemble:
    """The trees of a graph. Nodes of all trees are numbered, parents before children, lower branch before upper.

    A split sends a row to `low` if its value is at most `threshold`, or missing and `missing_low`; a leaf has -1 there.
    `adds` has the (target, weight) pairs of each leaf. `output` names the graph's output that is the `link` of raw scores.
    """

    output: str
    link: Link
    base: tuple[float, ...]
    scale: float
    roots: tuple[int, ...]
    column: NDArray[np.int64]
    threshold: NDArray[np.float32]
    low: NDArray[np.int64]
    high: NDArray[np.int64]
    missing_low: NDArray[np.bool_]
    adds: Mapping[int, Sequence[tuple[int, float]]]

    @property
    def leaves(self) -> NDArray[np.int64]:
        """The node numbers of the leaves: tree by tree, lower branch first."""
        return np.flatnonzero(self.low < 0)

    def leaf_counts(self, matrix: NDArray[np.float32]) -> Counts:
        """How many rows of a matrix reach each of the `leaves`."""
        columns = np.asfortranarray(matrix)
        rows: dict[int, NDArray[np.intp]] = dict.fromkeys(self.roots, np.arange(len(matrix)))
        counts = np.zeros(len(self.low))
        for node in range(len(self.low)):
            arrived = rows.pop(node)
            if self.low[node] < 0:
                counts[node] = len(arrived)
                continue
            values = columns[arrived, self.column[node]]
            lower = values <= self.threshold[node]
            if self.missing_low[node]:
                lower |= np.isnan(values)
            rows[int(self.low[node])], rows[int(self.high[node])] = arrived[lower], arrived[~lower]
        return counts[self.leaves]

    def covers(self, leaf_counts: Counts) -> Counts:
        """How many rows reach each node, from the counts at the leaves."""
        counts = np.zeros(len(self.low))
        counts[self.leaves] = leaf_counts
        for node in range(len(self.low) - 1, -1, -1):
            if self.low[node] >= 0:
                counts[node] = counts[self.low[node]] + counts[self.high[node]]
        return counts


def read(graph: bytes, outputs: Sequence[str]) -> TreeEnsemble:
    """The only tree ensemble of a graph, whose scores are one of the `outputs`. Raises: NotExplainable."""
    model = onnx.load_from_string(graph).graph
    nodes = [node for node in model.node if node.domain == _DOMAIN and node.op_type.startswith("TreeEnsemble")]
    if len(nodes) != 1:
        raise NotExplainable(f"its graph has {len(nodes)} tree ensembles, and only a single one can be explained")
    node = nodes[0]
    if node.op_type == "TreeEnsemble":
        raise NotExplainable("its trees are of ai.onnx.ml 5; convert it for version 4 or older")
    _check_input(model, node)
    attributes = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
    classes = node.op_type == "TreeEnsembleClassifier"
    transform = attributes.get("post_transform", b"NONE").decode()
    if transform not in _LINKS:
        raise NotExplainable(f"its link {transform} is not known")
    output, link = _output(model, node.output[1 if classes else 0], _LINKS[transform], outputs)
    return _ensemble(attributes, "class" if classes else "target", output, link)


def _check_input(model: onnx.GraphProto, node: Node) -> None:
    """Check that the trees read the graph's only input, unchanged. Raises: NotExplainable."""
    producers = {name: producer for producer in model.node for name in producer.output}
    name = node.input[0]
    while name in producers and producers[name].op_type == "Identity":
        name = producers[name].input[0]
    if name in producers:
        raise NotExplainable(
            f"its trees do not take the model's input as it comes: {producers[name].op_type} is before them"
        )
    kinds = {value.name: value.type.tensor_type.elem_type for value in model.input}
    if list(kinds) != [name] or kinds[name] != onnx.TensorProto.FLOAT:
        raise NotExplainable("its graph takes something else than one float32 matrix")


def _output(model: onnx.GraphProto, scores: str, link: Link, outputs: Sequence[str]) -> tuple[str, Link]:
    """The output with the trees' scores, and the link between them. Raises: NotExplainable where no output has them."""
    links = {scores: link}
    for node in model.node:
        source = links.get(node.input[0]) if node.input else None
        if source is not None and node.op_type in _TRANSPARENT:
            links[node.output[0]] = source
        elif source == "none" and node.op_type == "Exp":
            links[node.output[0]] = "exp"
    for name in outputs:
        if name in links:
            return name, links[name]
    raise NotExplainable(f"none of its outputs {list(outputs)} is the trees' scores")


def _ensemble(attributes: Mapping[str, Any], kind: str, output: str, link: Link) -> TreeEnsemble:
    if any(name.endswith("_as_tensor") for name in attributes):
        raise NotExplainable("its trees are of float64")
    function = attributes.get("aggregate_function", b"SUM").decode()
    if function not in ("SUM", "AVERAGE"):
        raise NotExplainable(f"its trees' scores are joined by {function}")
    modes = [mode.decode() for mode in attributes["nodes_modes"]]
    unsupported = sorted(set(modes) - {"LEAF", *_STRICT})
    if unsupported:
        raise NotExplainable(
            f"its trees split by {unsupported[0]} (categories), and only splits of ordered columns can be explained"
        )
    order, numbers, roots = _walk(attributes, modes)
    trees, pairs = len(roots), zip(attributes[f"{kind}_treeids"], attributes[f"{kind}_nodeids"], strict=True)
    adds: dict[int, list[tuple[int, float]]] = {}
    for key, target, weight in zip(pairs, attributes[f"{kind}_ids"], attributes[f"{kind}_weights"], strict=True):
        adds.setdefault(numbers[key], []).append((target, weight))
    targets = sorted({target for weights in adds.values() for target, _ in weights})
    renumbered = {target: index for index, target in enumerate(targets)} if len(targets) == 1 else None
    classes = len(attributes.get("classlabels_int64s") or attributes.get("classlabels_strings") or ())
    width = 1 if renumbered else max(attributes.get("n_targets", 0), classes, max(targets, default=0) + 1)
    base = tuple(attributes.get("base_values", ())) or (0.0,) * width
    if len(base) != width:
        raise NotExplainable(f"it has {len(base)} base values for {width} raw scores")
    threshold, low, high, missing_low = _splits(attributes, modes, numbers, order)
    return TreeEnsemble(
        output=output,
        link=link,
        base=base,
        scale=1 / trees if function == "AVERAGE" else 1.0,
        roots=tuple(roots),
        column=np.array(attributes["nodes_featureids"], np.int64)[order],
        threshold=threshold,
        low=low,
        high=high,
        missing_low=missing_low,
        adds={leaf: [(renumbered[t] if renumbered else t, w) for t, w in weights] for leaf, weights in adds.items()},
    )


def _walk(
    attributes: Mapping[str, Any], modes: Sequence[str]
) -> tuple[list[int], dict[tuple[int, int], int], list[int]]:
    """The nodes' positions in the attributes in `TreeEnsemble` order, node numbers by (tree, node), and the roots' numbers."""
    trees, nodes = attributes["nodes_treeids"], attributes["nodes_nodeids"]
    positions = {key: position for position, key in enumerate(zip(trees, nodes, strict=True))}
    splits = [position for position, mode in enumerate(modes) if mode != "LEAF"]
    branches = (attributes["nodes_truenodeids"], attributes["nodes_falsenodeids"])
    children = {(trees[position], branch[position]) for position in splits for branch in branches}
    order: list[int] = []
    roots = []
    for tree, node in list(positions):
        if (tree, node) in children:
            continue
        roots.append(len(order))
        stack = [positions[tree, node]]
        while stack:
            position = stack.pop()
            order.append(position)
            if modes[position] != "LEAF":
                both = [positions[tree, branch[position]] for branch in branches]
                stack += both if modes[position] in _SWAPPED else both[::-1]
    if len(order) != len(modes):
        raise NotExplainable("its nodes are not trees")
    numbers = {(trees[position], nodes[position]): number for number, position in enumerate(order)}
    return order, numbers, roots


def _splits(
    attributes: Mapping[str, Any], modes: Sequence[str], numbers: Mapping[tuple[int, int], int], order: Sequence[int]
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """threshold, low, high and missing_low by node number, with every comparison turned into "at most"."""
    threshold = np.array(attributes["nodes_values"], np.float32)
    split = np.array([mode != "LEAF" for mode in modes])
    strict = np.array([_STRICT.get(mode, False) for mode in modes])
    if (split & np.isnan(threshold)).any() or (strict & (threshold == -np.inf)).any():
        raise NotExplainable("it compares with a threshold that no value is below")
    with np.errstate(over="ignore"):
        threshold = np.where(strict, np.nextafter(threshold, np.float32(-np.inf)), threshold)
    trees, true, false = attributes["nodes_treeids"], attributes["nodes_truenodeids"], attributes["nodes_falsenodeids"]
    tracks = attributes.get("nodes_missing_value_tracks_true") or [0] * len(modes)
    branches: list[tuple[int, int, bool]] = []
    for position in order:
        if not split[position]:
            branches.append((-1, -1, False))
            continue
        yes, no = (numbers[trees[position], branch[position]] for branch in (true, false))
        swapped = modes[position] in _SWAPPED
        branches.append((no, yes, not tracks[position]) if swapped else (yes, no, bool(tracks[position])))
    low, high, missing_low = zip(*branches, strict=True)
    return threshold[order], np.array(low, np.int64), np.array(high, np.int64), np.array(missing_low, np.bool_)
