"""Contributions against the definition of Shapley values, and what they add up to against ONNX Runtime."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skewless.contract.model.onnx_session import open_session
from skewless.contract.model.shapley import ShapleyExplainer, beyond_rounding, linked
from skewless.contract.model.tree_leaves import parse_leaves
from tests import oracles
from tests.models import trees
from tests.models.trees import compiled_leaves
from tests.oracles import Leaf, Split, Tree

COLUMNS = 4
ROWS = st.lists(st.tuples(*[trees.VALUES] * COLUMNS), min_size=1, max_size=5)


def compiled(content: bytes, of: list[Tree], *, columns: int = COLUMNS, output: str = "score") -> ShapleyExplainer:
    leaves = compiled_leaves(content, of, output=output)
    return ShapleyExplainer(parse_leaves(leaves.to_parquet(), columns), columns)


@given(st.lists(trees.tree(COLUMNS), min_size=1, max_size=3), ROWS)
def test_they_are_the_shapley_values_of_their_definition(of: list[Tree], rows: list[tuple[float, ...]]):
    matrix = np.array(rows, np.float32)
    found = compiled(trees.onnx_graph(of, COLUMNS, base=[0.5]), of).of(matrix)
    scale = sum(
        abs(weight) for one in of for node in trees.nodes(one) if isinstance(node, Leaf) for weight in node.weights
    )
    for row, values, raw in zip(matrix.tolist(), found.values[:, 0], found.raw[:, 0], strict=True):
        assert values == pytest.approx(oracles.contributions(of, row), rel=1e-12, abs=1e-14 * (1 + scale))
        assert raw == pytest.approx(0.5 + sum(oracles.expected(one, row, range(COLUMNS), 0) for one in of), abs=1e-11)
        assert found.base[0] == pytest.approx(0.5 + sum(oracles.expected(one, row, (), 0) for one in of), abs=1e-11)
        assert found.base[0] + values.sum() == pytest.approx(raw, abs=1e-14 * (1 + scale))


@given(st.lists(trees.tree(COLUMNS, 3), min_size=1, max_size=3), ROWS)
def test_each_class_has_its_own(of: list[Tree], rows: list[tuple[float, ...]]):
    matrix = np.array(rows, np.float32)
    content = trees.onnx_graph(of, COLUMNS, targets=3, post_transform="SOFTMAX")
    one = compiled(content, of, output="probabilities")
    found = one.of(matrix)
    assert found.values.shape == (len(matrix), 3, COLUMNS)
    for row, values in zip(matrix.tolist(), found.values, strict=True):
        for target in range(3):
            assert values[target] == pytest.approx(oracles.contributions(of, row, target), rel=1e-11, abs=1e-10)
    told = open_session(content).run(["probabilities"], {"input": matrix})[0]
    assert beyond_rounding(one, matrix, told, None) <= 0


@given(
    st.lists(trees.tree(COLUMNS), min_size=1, max_size=4),
    ROWS,
    st.sampled_from(["SUM", "AVERAGE"]),
    st.sampled_from(["NONE", "LOGISTIC"]),
)
def test_they_add_up_to_what_onnx_runtime_tells(of: list[Tree], rows, function: str, post_transform: str):
    matrix = np.array(rows, np.float32)
    content = trees.onnx_graph(of, COLUMNS, base=[-0.25], function=function, post_transform=post_transform)
    output = "score" if post_transform == "NONE" else "probabilities"
    one = compiled(content, of, output=output)
    told = open_session(content).run([output], {"input": matrix})[0].reshape(len(matrix), -1)
    assert beyond_rounding(one, matrix, told, None) <= 0
    wrong = told + np.float32(0.5) * (1 + np.abs(told))
    assert beyond_rounding(one, matrix, wrong, None) > 0, "the bound is no loophole"
    found = one.of(matrix)
    raw, _ = one.raw(matrix)
    assert raw == pytest.approx(found.raw, abs=1e-12), "two ways to the same sum"


def test_a_deep_path_loses_nothing():
    """60 columns on one path are 2 ** 60 sets; here the row is inside of all, so sets of one size add up to a fraction."""
    columns = 60
    one: Tree = Leaf((1.0,), 1)
    for column in range(columns):
        one = Split(column, "BRANCH_LEQ", 0.0, False, one, Leaf((0.0,), 1))
    found = compiled(trees.onnx_graph([one], columns), [one], columns=columns).of(np.full((1, columns), -1, np.float32))
    assert found.raw[0, 0] == 1.0
    assert found.base[0] + found.values.sum() == pytest.approx(1.0, rel=1e-14)
    shares = [Fraction(column + 1, column + 2) for column in range(columns)]
    for column in (0, 1, 30, 59):
        sizes = [
            Fraction(1)
        ]  # by how many of the others are known, the sum of what the unknown ones' shares multiply to
        for other in shares[:column] + shares[column + 1 :]:
            sizes = [other * kept + taken for kept, taken in zip([*sizes, 0], [0, *sizes], strict=True)]
        every = [sets / (columns * math.comb(columns - 1, size)) for size, sets in enumerate(sizes)]
        assert found.values[0, 0, column] == pytest.approx(float((1 - shares[column]) * sum(every)), rel=1e-13)


@pytest.mark.parametrize("rows", [0, 1, 7, 4_000])
def test_rows_do_not_depend_on_how_many_they_are(rows: int):
    rng = np.random.default_rng(4)
    one = Split(
        0,
        "BRANCH_LEQ",
        0.0,
        True,
        Leaf((1.0,), 3),
        Split(1, "BRANCH_GT", 0.5, False, Leaf((2.0,), 5), Leaf((-4.0,), 7)),
    )
    made = compiled(trees.onnx_graph([one] * 90, COLUMNS), [one] * 90)
    matrix = rng.normal(size=(rows, COLUMNS)).astype(np.float32)
    found = made.of(matrix)
    assert (found.raw.shape, found.values.shape) == ((rows, 1), (rows, 1, COLUMNS))
    for row in range(0, rows, 397):
        alone = made.of(matrix[row : row + 1])
        assert np.array_equal(alone.values[0], found.values[row])
        assert np.array_equal(alone.raw[0], found.raw[row])


def test_links():
    raw = np.array([[0.0, 1.0], [800.0, -800.0]])
    assert linked("none", raw) is raw
    assert linked("softmax", raw)[0] == pytest.approx([1 / (1 + np.e), np.e / (1 + np.e)])
    assert linked("logistic", raw)[1].tolist() == [1.0, 0.0]
    assert linked("exp", raw)[0].tolist() == [1.0, np.e]
