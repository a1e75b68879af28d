"""Exports LightGBM boosters as ONNX models that take the same branches.

Held by tests/model/publishing/test_publish.py.
"""

from __future__ import annotations

from collections.abc import Sequence

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray
from onnxmltools.convert import convert_lightgbm
from onnxmltools.convert.common.data_types import FloatTensorType

from skewless.model.conversion.graph_bytes import graph_bytes

_OPSET = 15


def convert(booster: lgb.Booster, columns: int) -> bytes:
    """The booster as an ONNX model of one float32 matrix, with outputs `label` and `probabilities`."""
    model = convert_lightgbm(
        narrowed(booster),
        name="model",  # the default is random, and equal models should be equal bytes
        initial_types=[("input", FloatTensorType([None, columns]))],
        zipmap=False,
        target_opset=_OPSET,
    )
    return graph_bytes(model)


def narrowed(booster: lgb.Booster) -> lgb.Booster:
    """The booster with its float64 thresholds rounded down to float32, the type that ONNX stores them in.

    On float32 inputs both take the same branches: `x <= threshold` holds for the same x. The converter rounds to nearest,
    which moves a threshold between two neighbouring inputs onto the upper one, so that it takes the other branch.
    """
    lines = []
    for text in booster.model_to_string().splitlines():
        line = text
        if line.startswith("threshold="):
            exact = np.array(line.removeprefix("threshold=").split(), np.float64)
            with np.errstate(
                over="ignore"
            ):  # values beyond float32 become infinity, which is rounded down like any other
                near = exact.astype(np.float32)
                down = np.where(near > exact, np.nextafter(near, np.float32(-np.inf)), near)
            line = "threshold=" + " ".join(repr(float(value)) for value in down)
        lines.append(line)
    return lgb.Booster(model_str="\n".join(_without_sizes(lines)))


def _without_sizes(lines: Sequence[str]) -> list[str]:
    """Drop the tree sizes, which are offsets into the model's text; without them LightGBM reads tree by tree."""
    return [line for line in lines if not line.startswith("tree_sizes=")]


def leaf_counts(booster: lgb.Booster) -> NDArray[np.float64]:
    """How many training rows reached each leaf, as LightGBM counted them: tree by tree, lower branch first."""
    counts = []
    for tree in booster.dump_model()["tree_info"]:
        stack = [tree["tree_structure"]]
        while stack:
            node = stack.pop()
            if "left_child" in node:
                stack += (node["right_child"], node["left_child"])
            else:
                # A tree of one leaf has no count, and needs none: it has no contributions.
                counts.append(node.get("leaf_count", 0))
    return np.array(counts, np.float64)
