"""The tree ensemble of an ONNX graph: its trees node by node, and how many rows of a matrix each leaf gets.

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
"""What converters put after the trees without changing a score (`Mul` by one): `skewless.model.publishing.tree_leaves` proves it on rows."""
_SWAPPED = ("BRANCH_GT", "BRANCH_GTE")
Node = onnx.NodeProto
Counts = NDArray[np.float64]


@dataclass(eq=False)
class NotExplainable(SkewlessError):
    """A model whose scores cannot be told as contributions; it can be published without."""

    reason: str

    def __str__(self) -> str:
        return f"its scores cannot be told as contributions: {self.reason}"


@dataclass(frozen=True, slots=True)
class TreeEnsemble:
    """The trees of a graph. Nodes of all trees are numbered, parents before children, lower branch before upper.

    A split sends on to `low` where the value is at most `threshold`, a missing one where `missing_low`; a leaf has -1
    there. `adds` are a leaf's (target, weight). `output` names the graph's output that is the `link` of raw scores.
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
        """The leaves' numbers: tree by tree, lower branch first."""
        return np.flatnonzero(self.low < 0)

    def counted(self, matrix: NDArray[np.float32]) -> Counts:
        """How many rows of a matrix get to each of the `leaves`."""
        columns = np.asfortranarray(matrix)
        rows: dict[int, NDArray[np.intp]] = dict.fromkeys(self.roots, np.arange(len(matrix)))
        found = np.zeros(len(self.low))
        for node in range(len(self.low)):
            mine = rows.pop(node)
            if self.low[node] < 0:
                found[node] = len(mine)
                continue
            values = columns[mine, self.column[node]]
            lower = values <= self.threshold[node]
            if self.missing_low[node]:
                lower |= np.isnan(values)
            rows[int(self.low[node])], rows[int(self.high[node])] = mine[lower], mine[~lower]
        return found[self.leaves]

    def covers(self, of_leaves: Counts) -> Counts:
        """By node, how many rows get there."""
        found = np.zeros(len(self.low))
        found[self.leaves] = of_leaves
        for node in range(len(self.low) - 1, -1, -1):
            if self.low[node] >= 0:
                found[node] = found[self.low[node]] + found[self.high[node]]
        return found


def read(graph: bytes, outputs: Sequence[str]) -> TreeEnsemble:
    """The one tree ensemble of a graph, whose scores are one of these outputs. Raises: NotExplainable."""
    model = onnx.load_from_string(graph).graph
    nodes = [node for node in model.node if node.domain == _DOMAIN and node.op_type.startswith("TreeEnsemble")]
    if len(nodes) != 1:
        raise NotExplainable(f"its graph has {len(nodes)} tree ensembles, where one is explained")
    node = nodes[0]
    if node.op_type == "TreeEnsemble":
        raise NotExplainable("its trees are of ai.onnx.ml 5; convert it for version 4 or older")
    _check_input(model, node)
    given = {one.name: onnx.helper.get_attribute_value(one) for one in node.attribute}
    classes = node.op_type == "TreeEnsembleClassifier"
    link = given.get("post_transform", b"NONE").decode()
    if link not in _LINKS:
        raise NotExplainable(f"its link {link} is not known")
    output, told = _output(model, node.output[1 if classes else 0], _LINKS[link], outputs)
    return _ensemble(given, "class" if classes else "target", output, told)


def _check_input(model: onnx.GraphProto, node: Node) -> None:
    """Raises: NotExplainable where the trees take anything but the graph's only input as it comes."""
    before = {name: one for one in model.node for name in one.output}
    name = node.input[0]
    while name in before and before[name].op_type == "Identity":
        name = before[name].input[0]
    if name in before:
        raise NotExplainable(
            f"its trees do not take the model's input as it comes: {before[name].op_type} is before them"
        )
    kinds = {one.name: one.type.tensor_type.elem_type for one in model.input}
    if list(kinds) != [name] or kinds[name] != onnx.TensorProto.FLOAT:
        raise NotExplainable("its graph takes something else than one float32 matrix")


def _output(model: onnx.GraphProto, scores: str, link: Link, outputs: Sequence[str]) -> tuple[str, Link]:
    """Which output tells the scores, through which link. Raises: NotExplainable where none does as they are."""
    links = {scores: link}
    for node in model.node:
        of = links.get(node.input[0]) if node.input else None
        if of is not None and node.op_type in _TRANSPARENT:
            links[node.output[0]] = of
        elif of == "none" and node.op_type == "Exp":
            links[node.output[0]] = "exp"
    for name in outputs:
        if name in links:
            return name, links[name]
    raise NotExplainable(f"none of its outputs {list(outputs)} tells the trees' scores as they are")


def _ensemble(given: Mapping[str, Any], kind: str, output: str, link: Link) -> TreeEnsemble:
    if any(name.endswith("_as_tensor") for name in given):
        raise NotExplainable("its trees are of float64")
    function = given.get("aggregate_function", b"SUM").decode()
    if function not in ("SUM", "AVERAGE"):
        raise NotExplainable(f"its trees' scores are joined by {function}")
    modes = [mode.decode() for mode in given["nodes_modes"]]
    strange = sorted(set(modes) - {"LEAF", *_STRICT})
    if strange:
        raise NotExplainable(
            f"its trees split by {strange[0]} (categories), where columns are explained that are ordered"
        )
    order, places, roots = _walk(given, modes)
    trees, pairs = len(roots), zip(given[f"{kind}_treeids"], given[f"{kind}_nodeids"], strict=True)
    adds: dict[int, list[tuple[int, float]]] = {}
    told = zip(pairs, given[f"{kind}_ids"], given[f"{kind}_weights"], strict=True)
    for place, target, weight in told:
        adds.setdefault(places[place], []).append((target, weight))
    targets = sorted({target for one in adds.values() for target, _ in one})
    number = {target: at for at, target in enumerate(targets)} if len(targets) == 1 else None
    classes = len(given.get("classlabels_int64s") or given.get("classlabels_strings") or ())
    width = 1 if number else max(given.get("n_targets", 0), classes, max(targets, default=0) + 1)
    base = tuple(given.get("base_values", ())) or (0.0,) * width
    if len(base) != width:
        raise NotExplainable(f"it has {len(base)} base values for {width} raw scores")
    threshold, low, high, missing_low = _splits(given, modes, places, order)
    return TreeEnsemble(
        output=output,
        link=link,
        base=base,
        scale=1 / trees if function == "AVERAGE" else 1.0,
        roots=tuple(roots),
        column=np.array(given["nodes_featureids"], np.int64)[order],
        threshold=threshold,
        low=low,
        high=high,
        missing_low=missing_low,
        adds={leaf: [(number[t] if number else t, w) for t, w in one] for leaf, one in adds.items()},
    )


def _walk(given: Mapping[str, Any], modes: Sequence[str]) -> tuple[list[int], dict[tuple[int, int], int], list[int]]:
    """The nodes in our order, their new numbers by (tree, node), and the roots' new numbers."""
    trees, nodes = given["nodes_treeids"], given["nodes_nodeids"]
    at = {key: place for place, key in enumerate(zip(trees, nodes, strict=True))}
    splits = [place for place, mode in enumerate(modes) if mode != "LEAF"]
    branches = (given["nodes_truenodeids"], given["nodes_falsenodeids"])
    children = {(trees[place], one[place]) for place in splits for one in branches}
    order: list[int] = []
    roots = []
    for tree, node in list(at):
        if (tree, node) in children:
            continue
        roots.append(len(order))
        waiting = [at[tree, node]]
        while waiting:
            place = waiting.pop()
            order.append(place)
            if modes[place] != "LEAF":
                both = [at[tree, one[place]] for one in branches]
                waiting += both if modes[place] in _SWAPPED else both[::-1]
    if len(order) != len(modes):
        raise NotExplainable("its nodes are no trees")
    numbers = {(trees[place], nodes[place]): number for number, place in enumerate(order)}
    return order, numbers, roots


def _splits(
    given: Mapping[str, Any], modes: Sequence[str], places: Mapping[tuple[int, int], int], order: Sequence[int]
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Every comparison as `at most`: threshold, low, high and missing_low by our numbers."""
    threshold = np.array(given["nodes_values"], np.float32)
    split = np.array([mode != "LEAF" for mode in modes])
    strict = np.array([_STRICT.get(mode, False) for mode in modes])
    if (split & np.isnan(threshold)).any() or (strict & (threshold == -np.inf)).any():
        raise NotExplainable("it compares with a threshold that nothing is below")
    with np.errstate(over="ignore"):
        threshold = np.where(strict, np.nextafter(threshold, np.float32(-np.inf)), threshold)
    trees, true, false = given["nodes_treeids"], given["nodes_truenodeids"], given["nodes_falsenodeids"]
    tracks = given.get("nodes_missing_value_tracks_true") or [0] * len(modes)
    found: list[tuple[int, int, bool]] = []
    for place in order:
        if not split[place]:
            found.append((-1, -1, False))
            continue
        yes, no = (places[trees[place], one[place]] for one in (true, false))
        swapped = modes[place] in _SWAPPED
        found.append((no, yes, not tracks[place]) if swapped else (yes, no, bool(tracks[place])))
    low, high, missing_low = zip(*found, strict=True)
    return threshold[order], np.array(low, np.int64), np.array(high, np.int64), np.array(missing_low, np.bool_)
