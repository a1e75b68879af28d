from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from skewless.contract.rollout.rollout import GuardrailBounds
from skewless.server.metrics.canary_guardrail import CanaryCounts, buckets, distance, verdict

COUNTS = st.integers(0, 5_000).flatmap(
    lambda n: st.builds(CanaryCounts, st.just(n), st.integers(0, n), st.integers(0, n))
)
FLOATS = arrays(np.float32, st.integers(1, 200), elements=st.floats(width=32))
CLASSES = np.array(["calm", "busy", "late"], object)


def told(scores: np.ndarray) -> dict[str, dict[int, int]]:
    return {"score": buckets(scores.astype(np.float32))}


@given(COUNTS, COUNTS)
def test_nothing_is_concluded_from_a_small_sample(champion: CanaryCounts, canary: CanaryCounts):
    assert verdict(GuardrailBounds(least_requests=5_001), champion, canary) is None


@given(COUNTS, st.integers(1, 5_000), st.floats(0.0, 1.0))
def test_within_its_bounds_a_canary_stays(champion: CanaryCounts, requests: int, bound: float):
    allowed = int(bound * requests)
    canary = CanaryCounts(requests, allowed, allowed)
    assert verdict(GuardrailBounds(least_requests=1, most_errors=bound, most_slow=bound), champion, canary) is None


@given(COUNTS, COUNTS.filter(lambda counts: counts.errors < counts.requests))
def test_more_errors_never_mend_a_canary(champion: CanaryCounts, canary: CanaryCounts):
    bounds = GuardrailBounds(least_requests=1)
    worse = CanaryCounts(canary.requests, canary.errors + 1, canary.slow)
    if verdict(bounds, champion, canary) is not None:
        assert verdict(bounds, champion, worse) is not None


@given(COUNTS)
def test_who_does_as_well_as_the_champion_stays(counts: CanaryCounts):
    assert verdict(GuardrailBounds(least_requests=1, most_errors=0.0, most_slow=0.0), counts, counts) is None


def test_what_is_beyond_is_named():
    champion = CanaryCounts(10_000, 5, 100)
    told = verdict(GuardrailBounds(), champion, CanaryCounts(1_000, 60, 10))
    assert told == "60 of its 1000 requests failed (champion: 5 of 10000; allowed: 0.01)"
    told = verdict(GuardrailBounds(), champion, CanaryCounts(1_000, 0, 300))
    assert told == "300 of its 1000 requests took more than 0.1 s (champion: 100 of 10000; allowed: 0.1)"
    assert (
        verdict(GuardrailBounds(most_errors=None, most_slow=None), champion, CanaryCounts(1_000, 1_000, 1_000)) is None
    )


def test_a_sound_canary_is_hardly_ever_withdrawn():
    """At its bound exactly, in 20,000 trials, no more often than the confidence says."""
    drawn = np.random.default_rng(7).binomial(500, 0.01, 20_000).tolist()
    wrong = sum(
        verdict(GuardrailBounds(confidence=0.999), CanaryCounts(), CanaryCounts(500, errors)) is not None
        for errors in drawn
    )
    assert wrong <= 20_000 * 0.001


def test_scores_that_moved_are_seen_and_others_are_not():
    drawn = np.random.default_rng(7)
    bounds = GuardrailBounds(most_drift=0.05, most_errors=None, most_slow=None)
    champion = CanaryCounts(20_000, scores=told(drawn.beta(2, 5, 20_000)))
    same = CanaryCounts(5_000, scores=told(drawn.beta(2, 5, 5_000)))
    moved = CanaryCounts(5_000, scores=told(drawn.beta(5, 2, 5_000)))
    assert verdict(bounds, champion, same) is None
    assert "off the champion's 20000" in str(verdict(bounds, champion, moved))
    lost = CanaryCounts(5_000, scores=told(np.full(5_000, np.nan)))
    assert verdict(bounds, champion, lost) is not None


def test_of_several_outputs_each_is_watched():
    drawn = np.random.default_rng(7)
    bounds = GuardrailBounds(most_drift=0.1, most_errors=None, most_slow=None)

    def counts(rows: int, odds: list[float], a: float) -> CanaryCounts:
        labels, shares = CLASSES[drawn.choice(3, rows, p=odds)], drawn.beta(a, 5, rows)
        return CanaryCounts(rows, scores={"label": buckets(labels), "shares[0]": buckets(shares)})

    champion = counts(20_000, [0.5, 0.3, 0.2], 2)
    assert verdict(bounds, champion, counts(5_000, [0.5, 0.3, 0.2], 2)) is None
    assert "its 5000 values of label are 0." in str(verdict(bounds, champion, counts(5_000, [0.1, 0.3, 0.6], 2)))
    assert "values of shares[0] are" in str(verdict(bounds, champion, counts(5_000, [0.5, 0.3, 0.2], 4)))
    assert verdict(bounds, champion, counts(100, [0.1, 0.3, 0.6], 4)) is None, "too few to tell"


@given(st.lists(st.sampled_from(["calm", "busy", "", "\x00late"]), min_size=1))
def test_texts_are_counted_by_what_they_are(texts: list[str]):
    assert sorted(buckets(np.array(texts, object)).values()) == sorted(Counter(texts).values())


@given(FLOATS)
def test_buckets_are_ordered_like_their_scores(scores: np.ndarray):
    known = np.sort(scores[~np.isnan(scores)])
    places = [next(iter(buckets(known[i : i + 1]))) for i in range(len(known))]
    assert places == sorted(places)
    assert sum(buckets(scores).values()) == len(scores)


def test_zeros_are_one_and_nan_is_beyond():
    assert len(buckets(np.array([0.0, -0.0], np.float32))) == 1
    found = buckets(np.array([np.inf, np.nan], np.float32))
    assert len(found) == 2


@given(FLOATS, FLOATS)
def test_the_distance_is_one_of_distributions(one: np.ndarray, other: np.ndarray):
    first, second = buckets(one), buckets(other)
    assert distance(first, first) == 0.0
    assert distance(first, second) == pytest.approx(distance(second, first))
    assert 0.0 <= distance(first, second) <= 1.0 + 1e-12
