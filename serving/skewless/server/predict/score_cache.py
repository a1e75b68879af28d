"""A cache of one model version's scores, keyed by the exact bits of the model input: the same row is not scored twice.

A row's score does not depend on the rows around it (a bundle proves that), so a batch may mix cached and new scores.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from threading import Lock
from time import monotonic
from typing import Any, Protocol, cast

import numpy as np
from cachetools import TTLCache
from prometheus_client import Counter

from skewless.contract.model.matrix_scorer import MatrixScorer
from skewless.contract.model.signature import Array, ModelInput, ModelOutputs, NamedTensors, Scores
from skewless.contract.model.tensor_scorer import TensorScorer
from skewless.contract.rollout.rollout import CachePolicy


class ScoreCache:
    """Scores of at most `cache.rows` rows, each for `cache.ttl_s` seconds; the least recently used go first. Thread-safe."""

    def __init__(
        self,
        scorer: MatrixScorer | TensorScorer,
        cache: CachePolicy,
        hits: Counter,
        misses: Counter,
        *,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._score = cast(Callable[[ModelInput], Scores], scorer.score)
        self._rows: RowSplitter = TensorRowSplitter() if isinstance(scorer, TensorScorer) else MatrixRowSplitter()
        self._hits, self._misses = hits, misses
        self._cached: TTLCache[Hashable, Any] = TTLCache(cache.rows, cache.ttl_s, timer=clock)
        self._lock = Lock()

    def score(self, inputs: ModelInput) -> Scores:
        """The same scores as the scorer's."""
        keys = self._rows.keys(inputs)
        with self._lock:
            cached = [self._cached.get(key) for key in keys]
        missing = [place for place, score in enumerate(cached) if score is None]
        self._hits.inc(len(keys) - len(missing))
        if missing or not keys:
            self._misses.inc(len(missing))
            scored = self._score(inputs if len(missing) == len(keys) else self._rows.select(inputs, missing))
            self._store(keys, missing, scored, cached)
            if len(missing) == len(keys):
                return scored
        return self._rows.concat(cached)

    def _store(self, keys: Sequence[Hashable], missing: Sequence[int], scored: Scores, cached: list[Any]) -> None:
        with self._lock:
            for place, score in zip(missing, self._rows.split(scored), strict=True):
                self._cached[keys[place]] = cached[place] = score


class RowSplitter(Protocol):
    """Splits a model's inputs and scores into rows, and joins rows of scores again."""

    def keys(self, inputs: Any, /) -> list[Hashable]: ...  # noqa: ANN401 - by form
    def select(self, inputs: Any, places: Sequence[int], /) -> Any: ...  # noqa: ANN401
    def split(self, scores: Any, /) -> Iterable[Any]: ...  # noqa: ANN401
    def concat(self, rows: Sequence[Any], /) -> Scores: ...


class MatrixRowSplitter:
    """The rows of one float32 matrix and of its scores."""

    def keys(self, matrix: Array) -> list[Hashable]:
        return [row.tobytes() for row in matrix]

    def select(self, matrix: Array, places: Sequence[int]) -> Array:
        return matrix[places]

    def split(self, scores: Array) -> Iterable[np.float32]:
        return scores

    def concat(self, rows: Sequence[np.float32]) -> Array:
        return np.array(rows, np.float32)


class TensorRowSplitter:
    """The rows of named inputs and of several outputs."""

    def keys(self, inputs: NamedTensors) -> list[Hashable]:
        return list(zip(*(_row_keys(array) for array in inputs.values()), strict=True))

    def select(self, inputs: NamedTensors, places: Sequence[int]) -> NamedTensors:
        return {name: array[places] for name, array in inputs.items()}

    def split(self, scores: ModelOutputs) -> Iterable[dict[str, Array]]:
        """One row each, of shape 1 or 1 x width; copied, so that it does not keep its neighbours in memory."""
        return [{n: array[row : row + 1].copy() for n, array in scores.arrays.items()} for row in range(len(scores))]

    def concat(self, rows: Sequence[dict[str, Array]]) -> ModelOutputs:
        return ModelOutputs({name: np.concatenate([row[name] for row in rows]) for name in rows[0]})


def _row_keys(array: Array) -> Iterable[Hashable]:
    if array.dtype.kind == "O":
        return array.tolist() if array.ndim == 1 else map(tuple, array.tolist())
    return (row.tobytes() for row in array)
