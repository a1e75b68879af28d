"""What contributions cost: 100 trees of 31 leaves on 45 columns, beside LightGBM's own, by one thread's processor time.

python -m tests.bench.contributions
"""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from time import process_time

import lightgbm as lgb
import numpy as np

from skewless.contract.model.shapley import ShapleyExplainer
from skewless.contract.model.tree_leaves import parse_leaves
from skewless.model.conversion.lightgbm_export import convert, leaf_counts
from skewless.model.publishing.tree_ensemble import read
from skewless.model.publishing.tree_leaves import leaves_of

ROWS, COLUMNS, TREES, LEAVES = 20_000, 45, 100, 31
ROUNDS = 5


def main() -> None:
    rng = np.random.default_rng(7)
    matrix = rng.normal(size=(ROWS, COLUMNS)).astype(np.float32)
    matrix[rng.random(matrix.shape) < 0.1] = np.nan
    known = np.nan_to_num(matrix)
    labels = known[:, 0] + known[:, 1] * known[:, 2] + rng.normal(size=ROWS) > 0
    parameters = {"objective": "binary", "num_leaves": LEAVES, "verbosity": -1, "num_threads": 1, "seed": 7}
    booster = lgb.train(parameters, lgb.Dataset(matrix, labels), TREES)
    content = leaves_of(
        read(convert(booster, COLUMNS), ["probabilities"]), leaf_counts(booster), "lightgbm"
    ).to_parquet()
    ours = ShapleyExplainer(parse_leaves(content, COLUMNS), COLUMNS)
    print(f"{TREES} trees of {LEAVES} leaves, {COLUMNS} columns; the leaves take {len(content):,} bytes of the bundle")
    for rows in (1, 100, 1_000):
        mine = seconds(ours.of, matrix, rows)
        theirs = seconds(lambda some: booster.predict(some, pred_contrib=True, num_threads=1), matrix, rows)
        print(f"{rows:>5} rows: {mine / rows * 1e3:.2f} ms a row, LightGBM {theirs / rows * 1e3:.2f} ms")


def seconds(run: Callable[[np.ndarray], object], matrix: np.ndarray, rows: int) -> float:
    """The median processor time of some runs, each on other rows."""
    took = []
    for turn in range(ROUNDS):
        some = matrix[turn * rows : (turn + 1) * rows]
        started = process_time()
        run(some)
        took.append(process_time() - started)
    return median(took)


if __name__ == "__main__":
    main()
