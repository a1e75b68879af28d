"""Measures what changes of a model's graph gain, and how far they move its scores, on the golden rows."""

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
_MOST_RUNS = 1_000
_STARTS = 64
_LEAST_S = 1e-9
_BATCHES = (("1 row", 1), ("100 rows", 100))
Stopwatch = Callable[[], float]
"""Gives seconds of this thread's processor time, which leaves out what else runs on the machine."""


@dataclass(eq=False)
class ScoreGapTooLarge(SkewlessError):
    """Changes of the graph moved a score too far."""

    steps: tuple[str, ...]
    score: str
    row: int
    gap: float
    allowed: float

    def __str__(self) -> str:
        return (
            f"nothing is published: after {' and '.join(self.steps)} the {self.score} of golden row {self.row} is "
            f"{self.gap:.3g} off, the greatest difference, and {self.allowed:g} is allowed; leave the change out, or "
            "allow more as `max_score_difference`"
        )


class ScoreGap(NamedTuple):
    """The greatest difference between two graphs' scores, and where it is."""

    score: str
    row: int
    size: float


def measure_changes(
    original: BundleDraft, draft: BundleDraft, changes: GraphChanges, clock: Stopwatch = time.thread_time
) -> OptimisationRecord:
    """Compare a changed draft with the `original` one, each with the signature under which it would be published.

    Raises: ScoreGapTooLarge, before anything is timed.
    """
    rows = draft.golden_rows()
    values = draft.training_set.values(rows)
    before, after = original.open(), draft.open()
    models = (before, after)
    arrays = [
        model.signature.input_arrays(model.signature.assemble(draft.training_set.assembler, values)) for model in models
    ]
    same_signature = replace(original, imported=draft.imported).open()
    gap = greatest_gap(after.signature.outputs, _scores(same_signature, arrays[1]), _scores(after, arrays[1]))
    check_gap(gap, changes.steps, changes.bound)
    old, new = (onnx.load_from_string(each.graph) for each in (original, draft))
    timings = [
        _timing(name, _runs(before, arrays[0], size), _runs(after, arrays[1], size), clock) for name, size in _BATCHES
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


def check_gap(gap: ScoreGap, steps: Sequence[str], allowed: float) -> None:
    """Refuse a gap that is greater than allowed. Raises: ScoreGapTooLarge."""
    if gap.size > allowed:
        raise ScoreGapTooLarge(tuple(steps), gap.score, gap.row, gap.size, allowed)


def greatest_gap(groups: Sequence[ColumnGroup], before: Sequence[Array], after: Sequence[Array]) -> ScoreGap:
    """The greatest difference of two sets of scores: for numbers their distance, for texts 1."""
    gaps = [ScoreGap(groups[0].column, 0, 0.0)]
    for group, old, new in zip(groups, before, after, strict=True):
        by_row = _gaps(old, new).max(axis=1)
        row = int(by_row.argmax())
        gaps.append(ScoreGap(group.column, row, float(by_row[row])))
    return max(gaps, key=lambda gap: gap.size)


def _gaps(before: Array, after: Array) -> NDArray[np.float64]:
    """Distances by value: 0 for equal bits, infinite where only one is NaN, and more than 0 for any other bits; for texts
    0 or 1.
    """
    unequal = differing(before, after)
    if before.dtype.kind not in "fiu":
        return unequal.astype(np.float64)
    with np.errstate(invalid="ignore"):
        old, new = before.astype(np.float64), after.astype(np.float64)
        gaps = np.abs(old - new)
    gaps[np.isnan(gaps)] = np.inf
    gaps[np.isnan(old) & np.isnan(new)] = 0.0
    return np.where(unequal, np.maximum(gaps, np.nextafter(0.0, 1.0)), 0.0)


def _scores(model: BundleModel, inputs: Sequence[Array]) -> list[Array]:
    scores: list[Array] = model.signature.output_arrays(model.score(model.signature.from_arrays(inputs)))
    return scores


def _runs(model: BundleModel, inputs: Sequence[Array], size: int) -> Callable[[], object]:
    """A function that scores `size` rows, other rows at each call: repeating the same rows would look faster."""
    positions = np.arange(size)
    starts = range(0, max(len(inputs[0]), 2), max(len(inputs[0]) // _STARTS, 1))
    parts = [[array.take(positions + start, axis=0, mode="wrap") for array in inputs] for start in starts]
    batches = cycle([model.signature.from_arrays(arrays) for arrays in parts])
    return lambda: model.score(next(batches))


def _timing(what: str, before: Callable[[], object], after: Callable[[], object], clock: Stopwatch) -> RunTiming:
    """Time both in alternating rounds, of which every second one starts with the other."""
    runs = (before, after)
    times = [max(1, min(_MOST_RUNS, int(_ROUND_S / _seconds(run, 1, clock)))) for run in runs]
    rounds = []
    for number in range(_ROUNDS):
        order = (0, 1) if number % 2 else (1, 0)
        took = {index: _seconds(runs[index], times[index], clock) for index in order}
        rounds.append((took[0], took[1]))
    ratio = median(new / old for old, new in rounds)
    return RunTiming(what, 1e6 * median(old for old, _ in rounds), 1e6 * median(new for _, new in rounds), ratio)


def _seconds(run: Callable[[], object], times: int, clock: Stopwatch) -> float:
    """The mean seconds of a call, over `times` calls."""
    started = clock()
    for _ in range(times):
        run()
    return max(clock() - started, _LEAST_S) / times
