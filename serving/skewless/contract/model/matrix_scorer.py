"""The scorer: the model's ONNX graph, from its input matrix to one score a row."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from skewless.contract.errors import InvalidPlan
from skewless.contract.model.assembler import Matrix
from skewless.contract.model.onnx_session import open_session


class ScoreOutput(msgspec.Struct, frozen=True):
    """Where a model's score is: the graph's output `name`, and its column where it has several (the class)."""

    name: str
    column: int | None = None


class MatrixScorer:
    """Runs a model that takes one float32 matrix of `columns` columns. Raises: InvalidPlan if it takes another."""

    def __init__(self, graph: bytes, output: ScoreOutput, *, columns: int) -> None:
        self._session = open_session(graph)
        self._column = output.column
        taken = self._session.get_inputs()
        if len(taken) != 1 or taken[0].type != "tensor(float)" or not _is_matrix(taken[0].shape, columns):
            shapes = ", ".join(f"{node.name}: {node.type} {node.shape}" for node in taken)
            raise InvalidPlan("model.onnx", f"it takes ({shapes}), not one float32 matrix of {columns} columns")
        given = {node.name: node for node in self._session.get_outputs()}
        if output.name not in given:
            raise InvalidPlan("model.onnx", f"it has no output {output.name!r}")
        score = given[output.name]
        if not score.type.startswith("tensor(") or not _holds(score.shape, output.column):
            what = f"{score.type} {score.shape}"
            raise InvalidPlan("model.onnx", f"its output {output.name!r} is {what}: no score in column {output.column}")
        self._input = taken[0].name
        self._outputs = [output.name]

    def score(self, matrix: Matrix) -> NDArray[np.float32]:
        """One score for each of n rows, float32. Only the score's output is computed."""
        if not len(matrix):
            return np.zeros(0, np.float32)
        result = self._session.run(self._outputs, {self._input: matrix})[0]
        scores = result if self._column is None else result[:, self._column]
        return np.ascontiguousarray(scores, dtype=np.float32).reshape(len(matrix))


def _is_matrix(shape: Sequence[int | str | None], columns: int) -> bool:
    """Whether a graph's input may be n rows of `columns`; a dimension that is not a number is free."""
    return len(shape) == 2 and (shape[1] == columns or not isinstance(shape[1], int))


def _holds(shape: Sequence[int | str | None], column: int | None) -> bool:
    """Whether an output of this shape may hold one score a row: in `column`, or alone where that is None."""
    width = shape[1] if len(shape) == 2 else 1
    if not isinstance(width, int):
        return True
    return width == 1 if column is None else len(shape) == 2 and 0 <= column < width
