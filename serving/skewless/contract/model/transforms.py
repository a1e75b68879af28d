"""The transforms of a plan as one traced ONNX graph, run the same way for training, batch and server.

ONNX Runtime's `Sin`, `Cos`, `Log` and others take a vector path for full SIMD blocks and a scalar one for the rest,
which differ in the last bit. Every run is therefore padded to a multiple of 16 rows, so that a row's result does not
depend on the rows around it.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from skewless.contract.columns import ColumnValues
from skewless.contract.errors import InvalidPlan
from skewless.contract.model.onnx_session import open_session
from skewless.contract.plan import ColumnSource, Plan, RequestInput, StoredFeature, TransformOutput
from skewless.contract.value_types import value_type

_BLOCK = 16
_F4 = np.dtype("<f4")
_WIDE = np.dtype("<f8")
_INPUT_DTYPES = {"Float32": _F4}
_GRAPH_TYPES = {_F4: "tensor(float)", _WIDE: "tensor(double)"}


def reference(source: ColumnSource) -> str:
    """The name of a value in graphs, golden rows and training sets.

    Feast's full feature name (`view__feature`, or `transform__output`); a request input's own name.
    """
    if isinstance(source, StoredFeature):
        return f"{source.view}__{source.name}"
    if isinstance(source, TransformOutput):
        return f"{source.transform}__{source.name}"
    return source.name


def input_dtype(dtype: str, *, name: str) -> np.dtype:
    """What a value of Feast type `dtype` enters a transform as.

    Float32 stays, other numbers become float64, and a null is NaN. Raises: InvalidPlan for texts.
    """
    kind = value_type(dtype, feature=name)
    if kind.text:
        raise InvalidPlan(name, f"a transform cannot take the {dtype} {name!r}; it takes numbers")
    return _INPUT_DTYPES.get(dtype, _WIDE)


def as_input(values: ColumnValues, dtype: np.dtype) -> NDArray[np.floating]:
    """Values as the floating-point array that transforms and models take, NaN where null."""
    return np.where(values.valid, values.data.astype(dtype), dtype.type(np.nan))


class TransformGraph:
    """All transforms of a plan. `graph` is their ONNX model, whose inputs and outputs are named by `reference`."""

    def __init__(self, plan: Plan, graph: bytes) -> None:
        self._session = open_session(graph)
        self._inputs = tuple((source, input_dtype(d, name=reference(source))) for source, d in inputs_of(plan))
        self._names = tuple(reference(source) for source, _ in self._inputs)
        self._outputs = tuple(TransformOutput(t.name, field.name) for t in plan.transforms for field in t.outputs)
        self._output_names = [reference(output) for output in self._outputs]
        self._check(plan)

    def _check(self, plan: Plan) -> None:
        types = {reference(source): _GRAPH_TYPES[dtype] for source, dtype in self._inputs}
        has_inputs = {node.name for node in self._session.get_inputs()}
        has_outputs = {node.name for node in self._session.get_outputs()}
        if has_inputs - set(self._names) or set(self._output_names) - has_outputs:
            raise InvalidPlan(plan.name, "its traced transforms do not have the plan's inputs and outputs")
        for node in self._session.get_inputs():
            if node.type != types[node.name]:
                raise InvalidPlan(plan.name, f"its traced transforms take {node.name!r} as {node.type}")
        self._fed = tuple(name in has_inputs for name in self._names)

    def run(self, values: Mapping[ColumnSource, ColumnValues]) -> dict[ColumnSource, ColumnValues]:
        """The outputs for n rows, float32; NaN is a value here, not a null."""
        rows = len(next(iter(values.values())).valid)
        padding = -rows % _BLOCK
        spread = np.minimum(np.arange(rows + padding), rows - 1)  # the last row stands in for those that lack
        feeds = {}
        for (source, dtype), name, fed in zip(self._inputs, self._names, self._fed, strict=True):
            if fed:
                column = as_input(values[source], dtype)
                feeds[name] = column.take(spread) if padding else column
        if not rows:
            return {output: ColumnValues(np.zeros(0, _F4), np.zeros(0, bool)) for output in self._outputs}
        results = self._session.run(self._output_names, feeds)
        there = np.ones(rows, bool)
        with np.errstate(over="ignore", invalid="ignore"):
            return {
                output: ColumnValues(np.broadcast_to(result, (rows + padding,))[:rows].astype(_F4, copy=False), there)
                for output, result in zip(self._outputs, results, strict=True)
            }


def inputs_of(plan: Plan) -> list[tuple[StoredFeature | RequestInput, str]]:
    """The distinct inputs of a plan's transforms with their Feast types, in order of first use."""
    types: dict[ColumnSource, str] = {
        StoredFeature(view.name, field.name): field.dtype for view in plan.views for field in view.fields
    }
    types |= {RequestInput(field.name): field.dtype for field in plan.request}
    found = {source: types[source] for transform in plan.transforms for _, source in transform.inputs}
    return list(found.items())
