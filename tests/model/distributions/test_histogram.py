"""Bars of two distributions: shares that sum to one, whatever the numbers are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skewless.model.distributions.baseline import CategoryCounts, NumberSketch, numbers, present
from skewless.model.distributions.histogram import of_categories, of_numbers

FLOATS = st.lists(st.floats(width=32), max_size=60).map(lambda some: np.array(some, np.float32))


@given(FLOATS, FLOATS)
def test_shares_sum_to_one(then: np.ndarray, now: np.ndarray):
    baseline = NumberSketch(len(then), 0, tuple(present(then).tolist()))
    picture = of_numbers(baseline, present(now))
    if picture is None:
        return
    assert len(picture.edges) == len(picture.baseline) + 1
    for side, values in ((picture.baseline, baseline.quantiles), (picture.served, present(now))):
        assert sum(side) == pytest.approx(1.0 if len(values) else 0.0)


def test_one_value_or_none_needs_no_picture():
    assert of_numbers(NumberSketch(3, 3, ()), np.zeros(0)) is None
    assert of_numbers(NumberSketch(3, 0, (1.0, 1.0)), np.ones(3)) is None


def test_numbers_stay_in_order_and_names_beyond_the_bars_count_together():
    hours = numbers(np.tile(np.arange(24.0), 20))
    assert isinstance(hours, CategoryCounts)
    picture = of_categories(hours, {"3": 5, "99": 5})
    assert picture.names == (*map(str, range(24)), "(other)")
    assert (picture.served[3], picture.served[-1]) == (0.5, 0.5)
    many = CategoryCounts(1000, 0, {f"N{n}": 50 - n for n in range(40)}, other=180)
    picture = of_categories(many, {"N39": 1, "N0": 1})
    assert (len(picture.names), picture.names[0], picture.served[0], picture.served[-1]) == (33, "N0", 0.5, 0.5)
    assert sum(picture.baseline) == pytest.approx(1.0)
