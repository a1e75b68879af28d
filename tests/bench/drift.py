"""How often drift raises a false alarm, and how often it sees a shift: `python -m tests.bench.drift`.

A population like a model's inputs (skewed, tied, discrete, with nulls, correlated by a common factor) is described once
as the baseline; windows are drawn from the same one, or from one in which something moved.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
from scipy import stats

from skewless.contract.model.signature import MatrixSignature
from skewless.contract.plan import Field, JoinKey, ModelColumn, Plan, PlanView, StoredFeature
from skewless.contract.value_types import value_type
from skewless.model.distributions.baseline import Baseline, describe
from skewless.model.distributions.coverage import AbsentRows
from skewless.monitoring.drift.drift import DriftResult, ServedWindow, run
from skewless.monitoring.drift.thresholds import DriftThresholds

NOON = datetime(2013, 10, 1, 12, tzinfo=UTC)
WINDOW = ServedWindow("synthetic", "1.0.0", NOON, NOON)
NAMES = (
    *(f"mean_{place}" for place in range(8)), *(f"delay_{place}" for place in range(8)),
    *(f"rain_{place}" for place in range(4)), *(f"count_{place}" for place in range(6)),
    "hour", "weekday", "sparse", "age",
)  # fmt: skip
VIEW = PlanView(
    "v", "v", (JoinKey("place", "place", "String"), JoinKey("tail", "tail", "String")),
    tuple(Field(name, "Float32") for name in NAMES), 0, "created_timestamp",
)  # fmt: skip
PLAN = Plan("synthetic", "bench", (VIEW,), (), (), tuple(ModelColumn(name, StoredFeature("v", name)) for name in NAMES))
TRAINING_ROWS = 100_000


@dataclass
class Rows:
    """Rows as a population deals them: inputs by name, keys, statuses, scores."""

    inputs: dict[str, np.ndarray]
    place: np.ndarray
    tail: np.ndarray
    status: np.ndarray
    score: np.ndarray

    @property
    def matrix(self) -> np.ndarray:
        return np.stack([self.inputs[name] for name in NAMES], axis=1).astype(np.float32)

    @property
    def keys(self) -> pa.Table:
        return pa.table({"place": self.place, "tail": self.tail})

    def served(self) -> pa.Table:
        """As the served log has them."""
        flat = pa.array(self.matrix.reshape(-1))
        keys = {
            f"entity:{key.name}": pa.array(getattr(self, key.name), value_type(key.dtype).arrow)
            for key in PLAN.join_keys
        }
        columns = {"v:status": pa.array(self.status), "score": pa.array(self.score)}
        return pa.table({**keys, **columns, "model_input": pa.FixedSizeListArray.from_arrays(flat, len(NAMES))})


def population(rng: np.random.Generator, rows: int) -> Rows:
    """Some rows of the population that the model was trained on."""
    common = rng.normal(size=rows)
    found: dict[str, np.ndarray] = {}
    for name in NAMES:
        own = 0.7 * common + rng.normal(size=rows)
        found[name] = {
            "mean": own,
            "delay": np.exp(own),
            "rain": np.where(own > 1.2, own, 0.0),
            "count": np.floor(np.exp(1.0 + 0.5 * own)),
            "age": np.floor(rng.gamma(4, 3, rows)),
            "hour": rng.integers(5, 24, rows),
            "weekday": rng.integers(0, 7, rows),
            "sparse": np.where(rng.random(rows) < 0.7, np.nan, own),
        }[name.split("_")[0]].astype(np.float32)
    for name in NAMES[:12]:
        found[name][rng.random(rows) < 0.08] = np.nan
    tail = np.char.add("N", np.minimum(rng.zipf(1.6, rows), 3000).astype(str))
    place = rng.choice(["EWR", "JFK", "LGA"], rows, p=[0.36, 0.33, 0.31])
    status = rng.choice(np.array([0, 2, 3], np.uint8), rows, p=[0.95, 0.03, 0.02])
    score = (1 / (1 + np.exp(-(common + rng.normal(size=rows))))).astype(np.float32)
    return Rows(found, place, tail, status, score)


def _moved(name: str, by: float) -> Callable[[np.random.Generator, Rows], None]:
    def change(_: np.random.Generator, rows: Rows) -> None:
        rows.inputs[name] += np.float32(by * np.nanstd(rows.inputs[name]))

    return change


def _lost(rng: np.random.Generator, rows: Rows) -> None:
    rows.inputs["delay_7"][rng.random(len(rows.score)) < 0.1] = np.nan


def _scaled(_: np.random.Generator, rows: Rows) -> None:
    rows.inputs["delay_6"] *= np.float32(1.5)


def _elsewhere(rng: np.random.Generator, rows: Rows) -> None:
    rows.place[rng.random(len(rows.score)) < 0.2] = "SWF"


def _aged(rng: np.random.Generator, rows: Rows) -> None:
    rows.status[rng.random(len(rows.score)) < 0.1] = 3


def _surer(_: np.random.Generator, rows: Rows) -> None:
    rows.score[:] = rows.score**1.5


SHIFTS: dict[str, tuple[str, Callable[[np.random.Generator, Rows], None]]] = {
    "a mean moved by 0.1 standard deviations (too little to matter)": ("mean_7", _moved("mean_7", 0.1)),
    "a mean moved by 0.3 standard deviations": ("mean_7", _moved("mean_7", 0.3)),
    "a mean moved by 0.5 standard deviations": ("mean_7", _moved("mean_7", 0.5)),
    "minutes become 1.5 times as many": ("delay_6", _scaled),
    "10% more nulls": ("delay_7", _lost),
    "20% of a key's rows have a new value": ("place", _elsewhere),
    "10% more stale rows": ("v", _aged),
    "scores raised to the power of 1.5": ("score", _surer),
}


def baseline(rows: int = TRAINING_ROWS) -> Baseline:
    seen = population(np.random.default_rng(1), rows)
    shares = AbsentRows(rows, int(np.count_nonzero(seen.status)))
    return describe(PLAN, MatrixSignature(PLAN), seen.matrix, seen.keys, {"v": shares}, seen.score)


def false_alarms(
    then: Baseline, rows: int, runs: int, *, seed: int = 2, thresholds: DriftThresholds | None = None
) -> int:
    """In how many of `runs` windows of the same population anything drifted."""
    rng = np.random.default_rng(seed)
    return sum(not _run(then, population(rng, rows), thresholds).clean for _ in range(runs))


def seen(then: Baseline, shift: str, rows: int, runs: int, *, seed: int = 3) -> int:
    """In how many of `runs` windows the thing that moved was named."""
    rng = np.random.default_rng(seed)
    name, change = SHIFTS[shift]
    found = 0
    for _ in range(runs):
        window = population(rng, rows)
        change(rng, window)
        found += name in {subject.name for subject in _run(then, window).alarms}
    return found


def _run(then: Baseline, window: Rows, thresholds: DriftThresholds | None = None) -> DriftResult:
    return run(WINDOW, PLAN, then, window.served(), thresholds or DriftThresholds())


def interval(hits: int, runs: int) -> tuple[float, float]:
    """The exact 95% confidence interval of a share."""
    found = stats.binomtest(hits, runs).proportion_ci(method="exact")
    return float(found.low), float(found.high)


def main() -> None:
    """Print the tables of infra/decisions/drift.md."""
    started, then = time.process_time(), baseline()
    ungated = DriftThresholds(ks=0.0, psi=0.0, share=0.0)
    print(
        "| rows in the window | runs | false alarms | 95% interval | without the effect gate |\n|---|---|---|---|---|"
    )
    for rows, runs in ((200, 1000), (1_000, 1000), (10_000, 400)):
        hits, bare = (false_alarms(then, rows, runs, thresholds=limits) for limits in (None, ungated))
        low, high = interval(hits, runs)
        print(f"| {rows:,} | {runs:,} | {hits} | {low:.2%} to {high:.2%} | {bare} |")
    sizes = (200, 1_000, 10_000)
    print(f"\n| shift | {' | '.join(f'{rows:,} rows' for rows in sizes)} |\n|---|{'---|' * len(sizes)}")
    for shift in SHIFTS:
        found = [seen(then, shift, rows, 50) / 50 for rows in sizes]
        print(f"| {shift} | {' | '.join(f'{share:.0%}' for share in found)} |")
    print(f"\n{time.process_time() - started:.0f} s of processor time")


if __name__ == "__main__":
    main()
