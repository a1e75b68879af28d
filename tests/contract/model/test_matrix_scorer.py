from __future__ import annotations

import numpy as np
import pytest

from skewless.contract.errors import InvalidPlan
from skewless.contract.model.matrix_scorer import MatrixScorer, ScoreOutput
from tests.models.graphs import model

MATRIX = np.random.default_rng(3).normal(size=(40, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def graph():
    return model(3)


def test_every_form_of_output_is_one_score_a_row(graph):
    probabilities = MatrixScorer(graph, ScoreOutput("probabilities", 1), columns=3).score(MATRIX)
    assert (probabilities.shape, probabilities.dtype) == ((40,), np.float32)
    assert probabilities.flags.c_contiguous
    for output in (ScoreOutput("flat"), ScoreOutput("single"), ScoreOutput("single", 0)):
        assert MatrixScorer(graph, output, columns=3).score(MATRIX).tobytes() == probabilities.tobytes()
    assert set(MatrixScorer(graph, ScoreOutput("label"), columns=3).score(MATRIX).tolist()) == {0.0, 1.0}


def test_one_row_and_none(graph):
    scorer = MatrixScorer(graph, ScoreOutput("probabilities", 1), columns=3)
    whole = scorer.score(MATRIX)
    assert [scorer.score(MATRIX[place : place + 1])[0] for place in range(40)] == whole.tolist()
    assert scorer.score(MATRIX[:0]).shape == (0,)


@pytest.mark.parametrize(
    ("output", "told"),
    [
        (ScoreOutput("missing"), "no output 'missing'"),
        (ScoreOutput("probabilities"), "'probabilities' .*no score in column None"),
        (ScoreOutput("probabilities", 2), "'probabilities' .*no score in column 2"),
        (ScoreOutput("probabilities", -1), "'probabilities' .*no score in column -1"),
        (ScoreOutput("flat", 0), "'flat' .*no score in column 0"),
    ],
)
def test_a_wrong_output_is_refused(graph, output, told):
    with pytest.raises(InvalidPlan, match=told):
        MatrixScorer(graph, output, columns=3)


def test_a_wrong_input_is_refused(graph):
    for columns in (2, 4):
        with pytest.raises(InvalidPlan, match=f"not one float32 matrix of {columns} columns"):
            MatrixScorer(graph, ScoreOutput("flat"), columns=columns)
    with pytest.raises(InvalidPlan, match="y: tensor"):
        MatrixScorer(model(3, extra_input=True), ScoreOutput("flat"), columns=3)


def test_other_shapes_and_types_of_input_are_refused():
    from onnx import TensorProto, helper

    for dtype, shape in (
        (TensorProto.DOUBLE, ["N", 3]),
        (TensorProto.FLOAT, ["N"]),
        (TensorProto.FLOAT, []),
        (TensorProto.FLOAT, ["N", 1, 3]),
    ):
        with pytest.raises(InvalidPlan, match="not one float32 matrix"):
            MatrixScorer(identity(helper, dtype, shape), ScoreOutput("y"), columns=3)


def test_a_free_number_of_columns_is_taken():
    from onnx import TensorProto, helper

    scorer = MatrixScorer(identity(helper, TensorProto.FLOAT, ["N", "columns"]), ScoreOutput("y", 1), columns=3)
    assert scorer.score(MATRIX).tolist() == MATRIX[:, 1].tolist()


def identity(helper, dtype, shape) -> bytes:
    x, y = (helper.make_tensor_value_info(name, dtype, shape) for name in "xy")
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", [x], [y])
    opset = [helper.make_opsetid("", 21)]
    return helper.make_model(graph, opset_imports=opset, ir_version=10).SerializeToString()
