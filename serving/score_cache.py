"""Scores of one model version, kept by the exact bytes of their model input: the same row is not scored twice.

A row's score does not depend on the rows around it (a bundle proves that), so some may be kept and the others scored.
"""

from __future__ import annotations

from threading import Lock
from time import monotonic

import numpy as np
from cachetools import TTLCache
from numpy.typing import NDArray
from prometheus_client import Counter

from serving.contract.assembler import Matrix
from serving.contract.rollout import Cache
from serving.contract.scorer import Scorer


class ScoreCache:
    """At most `cache.rows` scores, each for `cache.ttl_s` seconds, those that were not used for longest dropped first.

    Threads share it.
    """

    def __init__(self, scorer: Scorer, cache: Cache, hits: Counter, misses: Counter) -> None:
        self._scorer, self._hits, self._misses = scorer, hits, misses
        self._kept: TTLCache[bytes, np.float32] = TTLCache(cache.rows, cache.ttl_s, timer=monotonic)
        self._lock = Lock()

    def score(self, matrix: Matrix) -> NDArray[np.float32]:
        """As `Scorer.score`."""
        keys = [row.tobytes() for row in matrix]
        with self._lock:
            known = [self._kept.get(key) for key in keys]
        missing = [place for place, score in enumerate(known) if score is None]
        self._hits.inc(len(keys) - len(missing))
        if not missing:
            return np.array(known, np.float32)
        self._misses.inc(len(missing))
        scored = self._scorer.score(matrix if len(missing) == len(keys) else matrix[missing])
        with self._lock:
            for place, score in zip(missing, scored, strict=True):
                self._kept[keys[place]] = score
        scores = np.array([np.float32(0.0) if score is None else score for score in known], np.float32)
        scores[missing] = scored
        return scores
