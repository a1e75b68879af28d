"""How far scores moved, held to its slow definition, and timings that are taken in turns."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skewless.contract.model.signature import ColumnGroup
from skewless.model.publishing import optimisation_report
from skewless.model.publishing.optimisation_report import ScoreGap, ScoreGapTooLarge, check_gap, greatest_gap
from tests.strategies import FLOAT32_BITS, FLOAT64_BITS

KINDS = {
    "float32": st.sampled_from(FLOAT32_BITS).map(lambda bits: np.frombuffer(np.uint32(bits).tobytes(), "<f4")[0])
    | st.floats(-2, 2, width=32).map(np.float32),
    "float64": st.sampled_from(FLOAT64_BITS).map(lambda bits: np.frombuffer(np.uint64(bits).tobytes(), "<f8")[0])
    | st.floats(-2, 2).map(np.float64),
    "int64": (st.integers(-3, 3) | st.sampled_from([2**53, 2**53 + 1, 2**63 - 1, -(2**63)])).map(np.int64),
    "string": st.sampled_from(["", "late", "on time"]),
}


def slow(mine: object, theirs: object) -> float:
    """How far apart two values are: texts 1, numbers their distance, and other bits more than nothing."""
    if isinstance(mine, str):
        return float(mine != theirs)
    if mine.tobytes() == theirs.tobytes():
        return 0.0
    if np.isnan(mine) and np.isnan(theirs):
        return 5e-324
    with np.errstate(all="ignore"):
        apart = abs(float(mine) - float(theirs))
    return math.inf if math.isnan(apart) else max(apart, 5e-324)


@given(st.data(), st.sampled_from(sorted(KINDS)), st.integers(1, 6), st.integers(1, 3))
def test_the_greatest_difference_is_the_greatest_of_all(data, kind, rows, width):
    cells = st.lists(KINDS[kind], min_size=rows * width, max_size=rows * width)
    sides = []
    for _ in range(2):
        array = np.empty(rows * width, object if kind == "string" else kind)
        array[:] = data.draw(cells)
        sides.append(array.reshape(rows, width))
    group = ColumnGroup("score", kind, tuple("abc"[:width]))
    found = greatest_gap([group], [sides[0]], [sides[1]])
    expected = [max(map(slow, *pair)) for pair in zip(*sides, strict=True)]
    assert found.size == max(expected)
    assert expected[found.row] == found.size


def test_the_output_that_moved_most_is_named():
    groups = [
        ColumnGroup("score:a", "float32", ("a",), alone=True),
        ColumnGroup("score:b", "string", ("b",), alone=True),
    ]
    numbers, texts = np.zeros((2, 1), "f4"), np.array([["late"], ["late"]], object)
    other = np.array([["late"], ["on time"]], object)
    assert greatest_gap(groups, [numbers, texts], [numbers + np.float32(0.5), other]) == ScoreGap("score:b", 1, 1.0)


def test_zero_allows_not_even_the_sign_of_a_zero():
    group = [ColumnGroup("score", "float32", ("score",), alone=True)]
    gap = greatest_gap(group, [np.zeros((1, 1), "f4")], [-np.zeros((1, 1), "f4")])
    check_gap(gap, ["anything"], 1e-300)
    with pytest.raises(ScoreGapTooLarge, match=r"score of golden row 0 is 4\.94e-324 off, .* and 0 is allowed"):
        check_gap(gap, ["anything"], 0.0)


def test_timings_are_taken_in_turns_and_give_the_median_of_their_ratios():
    asked: list[str] = []
    now = 0.0
    seconds = {"before": 0.004, "after": 0.002}

    def run(name: str):
        def once() -> None:
            nonlocal now
            asked.append(name)
            slower = 10 if len(asked) in (12, 13) else 1  # something else has the processor for a while
            now += slower * seconds[name]

        return once

    found = optimisation_report._timing("1 row", run("before"), run("after"), lambda: now)
    assert (found.what, found.before_us, found.after_us) == ("1 row", pytest.approx(4_000), pytest.approx(2_000))
    assert found.ratio == pytest.approx(0.5)
    turns = [name for name, before in zip(asked, [None, *asked], strict=False) if name != before]
    assert turns.count("before") >= 5 <= turns.count("after")
