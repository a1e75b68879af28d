"""How far apart: the sketch's error is known, chance is what scipy says it is, and few rows raise no alarm."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from skewless.model.distributions import baseline
from skewless.model.distributions.baseline import SKETCH_ERROR, CategoryCounts, NumberSketch
from skewless.model.distributions.divergence import adjusted, aligned, counts_of, of_categories, of_numbers, of_shares

SHAPES = {
    "normal": lambda rng, rows: rng.normal(size=rows),
    "skewed": lambda rng, rows: np.exp(2 * rng.normal(size=rows)),
    "mostly zero": lambda rng, rows: np.where(rng.random(rows) < 0.8, 0, rng.normal(size=rows)),
    "many ties": lambda rng, rows: rng.integers(0, 60, rows).astype(float),
    "infinite": lambda rng, rows: np.where(rng.random(rows) < 0.01, np.inf, rng.normal(size=rows)),
}


def sketched(values: np.ndarray) -> NumberSketch:
    found = baseline.numbers(values.astype(np.float32))
    assert isinstance(found, NumberSketch)
    return found


@pytest.mark.parametrize("shape", SHAPES)
@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(2_000, 6_000), shift=st.floats(-1, 1))
def test_the_gap_is_that_of_all_values_but_for_the_sketchs_error(shape: str, seed: int, rows: int, shift: float):
    rng = np.random.default_rng(seed)
    then = SHAPES[shape](rng, rows).astype(np.float32)
    now = (SHAPES[shape](rng, 500) + shift).astype(np.float32)
    exact = stats.ks_2samp(now, then, method="asymp").statistic
    found = of_numbers(sketched(then), now)
    assert abs(found.ks - exact) <= SKETCH_ERROR + 1 / rows + 1e-9


def test_a_p_value_is_scipys_where_the_gap_is_wide():
    rng = np.random.default_rng(0)
    then, now = rng.normal(size=50_000).astype(np.float32), rng.normal(0.1, size=2_000).astype(np.float32)
    exact = stats.ks_2samp(now, then, method="asymp").pvalue
    assert of_numbers(sketched(then), now).p_value == pytest.approx(exact, rel=1.0, abs=1e-6)


def test_nulls_do_not_take_part():
    rng = np.random.default_rng(0)
    then, now = rng.normal(size=5_000), rng.normal(size=500)
    holes = np.append(now, [np.nan] * 100)
    assert of_numbers(sketched(then), now) == of_numbers(sketched(then), holes)


@given(seed=st.integers(0, 2**32 - 1))
def test_the_stability_index_of_one_distribution_is_small_and_never_negative(seed: int):
    rng = np.random.default_rng(seed)
    found = of_numbers(sketched(rng.normal(size=20_000)), rng.normal(size=300))
    assert 0 <= found.psi < 0.15
    assert 0 <= found.js < 0.25


def test_the_stability_index_by_hand():
    then = CategoryCounts(1_000_000, 0, {"a": 500_000, "b": 500_000})
    found = of_categories(then, {"a": 600_000, "b": 400_000})
    by_hand = 0.1 * np.log(0.6 / 0.5) + -0.1 * np.log(0.4 / 0.5)
    assert found.psi == pytest.approx(by_hand, rel=1e-3)
    assert (found.test, found.ks) == ("chi-square", 0.0)
    assert found.p_value == 0.0


def test_rare_and_new_names_are_pooled():
    then = CategoryCounts(10_000, 0, {"a": 9_000, "b": 990, **{f"rare{n}": 1 for n in range(10)}})
    same = of_categories(then, {"a": 900, "b": 99, "rare3": 1})
    assert same.p_value > 0.5
    new = of_categories(then, {"a": 700, "b": 100, "never seen": 200})
    assert new.p_value < 1e-6
    assert new.psi > 0.2
    assert of_categories(CategoryCounts(500, 0, {"a": 500}), {"a": 100}).p_value == 1.0
    assert of_categories(then, {}).p_value == 1.0


@given(
    st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 500)),
    st.dictionaries(st.sampled_from("cdefgh"), st.integers(1, 500)),
)
def test_no_row_is_lost_between_names(then: dict[str, int], now: dict[str, int]):
    before, after = aligned(CategoryCounts(sum(then.values()) + 7, 0, then, 7), now)
    assert (before.sum(), after.sum()) == (sum(then.values()) + 7, sum(now.values()))
    found = of_categories(CategoryCounts(sum(then.values()) + 7, 0, then, 7), now)
    assert 0 <= found.p_value <= 1
    assert np.isfinite([found.psi, found.js, found.statistic]).all()


def test_numbers_are_counted_by_names_that_tell_them_apart():
    close = np.array([0.1, np.nextafter(np.float32(0.1), np.float32(1)), 0.1, np.nan, 7], np.float32)
    assert sorted(counts_of(close).values()) == [1, 1, 2]
    assert counts_of(close)["7"] == 1


@pytest.mark.parametrize(
    ("then", "now", "test", "alarms"),
    [
        ((100, 10_000), (10, 1_000), "chi-square", False),
        ((100, 10_000), (100, 1_000), "chi-square", True),
        ((0, 10_000), (3, 50), "Fisher", True),
        ((0, 10_000), (0, 50), "none", False),
        ((50, 50), (10, 10), "none", False),
        ((0, 0), (3, 50), "none", False),
    ],
)
def test_shares(then, now, test, alarms):
    used, p_value = of_shares(then, now)
    assert (used, p_value < 0.01) == (test, alarms)


def test_p_values_are_corrected_together():
    assert adjusted([]) == []
    assert adjusted([0.01, 0.02, 0.03, 0.9]) == pytest.approx([0.04, 0.04, 0.04, 0.9])
