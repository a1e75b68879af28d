"""Small ONNX graphs for tests: transforms traced by ndonnx, models made by hand."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import ndonnx as ndx
import numpy as np

from skewless.contract.model.transforms import input_dtype, inputs_of, reference
from skewless.contract.plan import ColumnSource, Plan

Function = Callable[..., Mapping[str, Any]]


def traced(plan: Plan, functions: Mapping[str, Function]) -> bytes:
    """The graph of a plan's transforms; each function is called with its inputs by name."""
    arguments: dict[ColumnSource, Any] = {
        source: ndx.argument(shape=("N",), dtype=getattr(ndx, input_dtype(dtype, name=reference(source)).name))
        for source, dtype in inputs_of(plan)
    }
    outputs = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # sin and cos of a float64 pass through float32
        for transform in plan.transforms:
            made = functions[transform.name](**{name: arguments[s] for name, s in transform.inputs})
            outputs |= {f"{transform.name}__{name}": ndx.astype(value, ndx.float32) for name, value in made.items()}
    return ndx.build({reference(s): a for s, a in arguments.items()}, outputs).SerializeToString()


def model(columns: int, *, rows: Any = "N", scale: float = 1.0, extra_input: bool = False) -> bytes:
    """A model of `columns` inputs: `probabilities` [N, 2], `single` [N, 1], `flat` [N], `label` int64 [N]."""
    x = ndx.argument(shape=(rows, columns), dtype=ndx.float32)
    inputs = {"x": x}
    clean = ndx.where(ndx.isnan(x), ndx.asarray(np.float32(-1.0)), x)
    weights = ndx.asarray((np.arange(columns, dtype=np.float32) + 1) * np.float32(0.01 * scale))
    flat = 1 / (1 + ndx.exp(-ndx.sum(clean * weights, axis=1)))
    if extra_input:
        inputs["y"] = ndx.argument(shape=("N",), dtype=ndx.float32)
        flat = flat + inputs["y"]
    outputs = {
        "probabilities": ndx.stack([1 - flat, flat], axis=1),
        "single": ndx.reshape(flat, (-1, 1)),
        "flat": flat,
        "label": ndx.astype(flat > 0.5, ndx.int64),
    }
    return ndx.build(inputs, outputs).SerializeToString()
