"""The scorer of models with named inputs and outputs of several types.

Held by tests/server/predict/test_score_cache.py.
"""

from __future__ import annotations

import numpy as np

from skewless.contract.errors import InvalidPlan
from skewless.contract.model.onnx_session import open_session
from skewless.contract.model.signature import Array, ModelOutputs, NamedTensors, SignatureSpec

ONNX_KINDS = {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
    "tensor(bool)": "bool",
    "tensor(string)": "string",
}
"""The types of graphs that can be taken and told."""


class TensorScorer:
    """Runs a graph by its signature. Raises: InvalidPlan where the graph is another."""

    def __init__(self, graph: bytes, signature: SignatureSpec) -> None:
        self._session = open_session(graph)
        self._signature = signature
        self._outputs = [one.name for one in signature.outputs]
        taken = {node.name: ONNX_KINDS.get(node.type) for node in self._session.get_inputs()}
        if taken != {one.name: one.kind for one in signature.inputs}:
            raise InvalidPlan("model.onnx", f"it takes {taken}, not what its manifest says")
        told = {node.name: ONNX_KINDS.get(node.type) for node in self._session.get_outputs()}
        for one in signature.outputs:
            if told.get(one.name) != one.kind:
                raise InvalidPlan("model.onnx", f"it has no output {one.name!r} of {one.kind}")

    def score(self, inputs: NamedTensors) -> ModelOutputs:
        """What it tells of n rows. Only the outputs of the signature are computed."""
        rows, block = len(next(iter(inputs.values()))), self._signature.rows_a_run
        if not rows:
            return self._shaped(
                [np.zeros(0, object if o.kind == "string" else o.kind) for o in self._signature.outputs], 0
            )
        if not block:
            return self._shaped(self._session.run(self._outputs, inputs), rows)
        spread = np.minimum(np.arange(rows + -rows % block), rows - 1)  # the last row stands in for those that lack
        filled = {name: array.take(spread, axis=0) for name, array in inputs.items()}
        runs = [
            self._session.run(self._outputs, {name: array[start : start + block] for name, array in filled.items()})
            for start in range(0, len(spread), block)
        ]
        whole = [
            np.concatenate([np.reshape(run[place], (block, -1)) for run in runs]) for place in range(len(self._outputs))
        ]
        return self._shaped([array[:rows] for array in whole], rows)

    def _shaped(self, results: list[Array], rows: int) -> ModelOutputs:
        """N values or n x width. Raises: ValueError where a graph told another shape."""
        arrays = {}
        for one, result in zip(self._signature.outputs, results, strict=True):
            shape = (rows,) if one.width is None else (rows, one.width)
            arrays[one.name] = np.ascontiguousarray(result).reshape(shape)
        return ModelOutputs(arrays)
