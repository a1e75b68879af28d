from __future__ import annotations

import time

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import Counter

from serving.contract.rollout import Cache
from serving.contract.scorer import Output, Scorer
from serving.score_cache import ScoreCache
from tests import tiny
from tests.serving.live import ROW, Live, until

COLUMNS = 5
SCORER = Scorer(tiny.model(), Output("probabilities", 1), columns=COLUMNS)
VALUES = st.sampled_from([0.0, -0.0, 1.5, float("nan"), float("inf"), -2.0])
ROWS = st.lists(st.lists(VALUES, min_size=COLUMNS, max_size=COLUMNS), max_size=20)


def cached(rows: int, ttl_s: float = 60.0) -> tuple[ScoreCache, Counter, Counter]:
    hits, misses = (Counter(name, name, registry=None) for name in ("hits", "misses"))
    return ScoreCache(SCORER, Cache(rows, ttl_s), hits, misses), hits, misses


@given(st.lists(ROWS, max_size=8), st.integers(1, 10))
def test_every_bit_is_the_scorers_whatever_is_kept(requests: list[list[list[float]]], rows: int):
    cache, hits, misses = cached(rows)
    for request in requests:
        matrix = np.array(request, np.float32).reshape(-1, COLUMNS)
        assert cache.score(matrix).tobytes() == SCORER.score(matrix).tobytes()
        assert len(cache._kept) <= rows
    assert hits._value.get() + misses._value.get() == sum(map(len, requests))


def test_a_score_is_forgotten_in_time():
    cache, hits, _ = cached(10, ttl_s=0.05)
    row = np.ones((1, COLUMNS), np.float32)
    cache.score(row)
    cache.score(row)
    assert hits._value.get() == 1
    time.sleep(0.06)
    cache.score(row)
    assert hits._value.get() == 1


def test_a_rollout_turns_it_on_and_off_and_a_new_version_starts_empty(live: Live):
    hits = 'skewless_score_cache_hits_total{model="tiny",version="%s"}'
    first = live.score(ROW, ROW)["scores"]
    assert live.metric(hits % "1.0.0") == 0
    tiny.roll_out(live.settings.models, cache={"rows": 100, "ttl_s": 60})
    until(lambda: live.score(ROW, ROW)["scores"] == first and live.metric(hits % "1.0.0") > 2)
    tiny.promote(live.settings.models, "2.0.0")
    until(lambda: live.score(ROW)["version"] == "2.0.0")
    assert live.score(ROW)["scores"] != first[:1]
    tiny.roll_out(live.settings.models, cache=None)
    time.sleep(0.3)
    before = live.metric(hits % "2.0.0")
    live.score(ROW)
    assert live.metric(hits % "2.0.0") == before
