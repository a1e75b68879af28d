"""What changes of a model's graph won, and by how much they moved its scores: measured in turns, on the golden rows."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import cycle
from statistics import median
from typing import NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray

from skewless.contract.errors import SkewlessError
from skewless.contract.model.bundle import BundleModel
from skewless.contract.model.optimisation import OptimisationRecord, RunTiming
from skewless.contract.model.signature import Array, ColumnGroup, differing
from skewless.model.publishing.bundle_draft import BundleDraft
from skewless.model.publishing.graph_optimisation import GraphChanges, nodes

_ROUNDS = 9
_ROUND_S = 0.01
_MOST = 1_000
_STARTS = 64
_TICK_S = 1e-9
_BATCHES = (("1 row", 1), ("100 rows", 100))
Stopwatch = Callable[[], float]
"""Seconds of this thread's processor time: what else runs on the machine is not in it."""


@dataclass(eq=False)
class ScoreGapTooLarge(SkewlessError):
    """A score that changes of the graph moved too far."""

    steps: tuple[str, ...]
    score: str
    row: int
    gap: float
    allowed: float

    def __str__(self) -> str:
        return (
            f"nothing is published: after {' and '.join(self.steps)} the {self.score} of golden row {self.row} is "
            f"{self.gap:.3g} off, the greatest difference, and {self.allowed:g} is allowed; leave the change out, or "
            "allow more by --max-score-difference"
        )


class ScoreGap(NamedTuple):
    """The greatest difference between two graphs' scores, and where it is."""

    score: str
    row: int
    size: float


def measured(
    original: BundleDraft, draft: BundleDraft, changes: GraphChanges, clock: Stopwatch = time.thread_time
) -> OptimisationRecord:
    """What became of the `original` draft's graph, in the form in which each of both is published.

    Raises: ScoreGapTooLarge, before anything is timed.
    """
    rows = draft.golden_rows()
    values = draft.training_set.values(rows)
    before, after = original.open(), draft.open()
    inputs = [model.signature.assemble(draft.training_set.assembler, values) for model in (before, after)]
    taken = [model.signature.input_arrays(one) for model, one in zip((before, after), inputs, strict=True)]
    gap = greatest(
        after.signature.outputs, _told(replace(original, read=draft.read).open(), taken[1]), _told(after, taken[1])
    )
    confirm(gap, changes.steps, changes.bound)
    old, new = (onnx.load_from_string(one.graph) for one in (original, draft))
    timings = [
        _timing(name, _runs(before, taken[0], size), _runs(after, taken[1], size), clock) for name, size in _BATCHES
    ]
    timings.append(_timing("loading", original.open, draft.open, clock))
    return OptimisationRecord(
        steps=changes.steps,
        original=hashlib.sha256(original.graph).hexdigest(),
        bytes_before=len(original.graph),
        bytes_after=len(draft.graph),
        operators_before=sum(1 for _ in nodes(old)),
        operators_after=sum(1 for _ in nodes(new)),
        timings=tuple(timings),
        rows=len(rows),
        difference=gap.size,
        allowed=changes.bound,
    )


def confirm(gap: ScoreGap, steps: Sequence[str], allowed: float) -> None:
    """Raises: ScoreGapTooLarge."""
    if gap.size > allowed:
        raise ScoreGapTooLarge(tuple(steps), gap.score, gap.row, gap.size, allowed)


def greatest(groups: Sequence[ColumnGroup], then: Sequence[Array], now: Sequence[Array]) -> ScoreGap:
    """The greatest difference of two sets of scores: of numbers their distance, of texts 1."""
    found = [ScoreGap(groups[0].column, 0, 0.0)]
    for group, mine, theirs in zip(groups, then, now, strict=True):
        gaps = _gaps(mine, theirs).max(axis=1)
        row = int(gaps.argmax())
        found.append(ScoreGap(group.column, row, float(gaps[row])))
    return max(found, key=lambda gap: gap.size)


def _gaps(then: Array, now: Array) -> NDArray[np.float64]:
    """Distances; of what is no number, or not of both, 0 or infinite. Other bits are never 0 apart."""
    other = differing(then, now)
    if then.dtype.kind not in "fiu":
        return other.astype(np.float64)
    with np.errstate(invalid="ignore"):
        mine, theirs = then.astype(np.float64), now.astype(np.float64)
        gaps = np.abs(mine - theirs)
    gaps[np.isnan(gaps)] = np.inf
    gaps[np.isnan(mine) & np.isnan(theirs)] = 0.0
    return np.where(other, np.maximum(gaps, np.nextafter(0.0, 1.0)), 0.0)


def _told(model: BundleModel, taken: Sequence[Array]) -> list[Array]:
    scores: list[Array] = model.signature.output_arrays(model.score(model.signature.from_arrays(taken)))
    return scores


def _runs(model: BundleModel, taken: Sequence[Array], size: int) -> Callable[[], object]:
    """A run of so many rows, of others each time: the same ones again look faster than they are."""
    places = np.arange(size)
    starts = range(0, max(len(taken[0]), 2), max(len(taken[0]) // _STARTS, 1))
    parts = [[array.take(places + start, axis=0, mode="wrap") for array in taken] for start in starts]
    turn = cycle([model.signature.from_arrays(arrays) for arrays in parts])
    return lambda: model.score(next(turn))


def _timing(what: str, before: Callable[[], object], after: Callable[[], object], clock: Stopwatch) -> RunTiming:
    """Both in turns: a round of one, a round of the other, and the other way round."""
    runs = (before, after)
    times = [max(1, min(_MOST, int(_ROUND_S / _seconds(run, 1, clock)))) for run in runs]
    rounds = []
    for number in range(_ROUNDS):
        order = (0, 1) if number % 2 else (1, 0)
        took = {one: _seconds(runs[one], times[one], clock) for one in order}
        rounds.append((took[0], took[1]))
    ratio = median(new / old for old, new in rounds)
    return RunTiming(what, 1e6 * median(old for old, _ in rounds), 1e6 * median(new for _, new in rounds), ratio)


def _seconds(run: Callable[[], object], times: int, clock: Stopwatch) -> float:
    """Seconds a run, of so many."""
    started = clock()
    for _ in range(times):
        run()
    return max(clock() - started, _TICK_S) / times
