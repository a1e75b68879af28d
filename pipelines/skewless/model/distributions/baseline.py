"""The baseline of a bundle: how each model input, join key, view and score was distributed before serving.

Inputs, keys and views are those of the rows that the model was trained on; scores are those of the test window, as
a model scores the rows that it learned from more boldly than any others. Drift is measured against it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from skewless.contract.errors import SkewlessError
from skewless.contract.model.bundle import BASELINE
from skewless.contract.model.signature import Array, ModelInput, ModelSignature, Scores, cells
from skewless.contract.plan import Plan
from skewless.model.distributions.coverage import AbsentRows

QUANTILES = 512
SKETCH_ERROR = 0.5 / QUANTILES
"""How far a sketch's distribution function is from the one that it was made of, at most (one row more in theory)."""
_DISCRETE = 32
_ROWS_PER_VALUE = 10
_CATEGORIES = 100
_GREATEST = float(np.finfo(np.float32).max)
Numbers = NDArray[np.floating]


@dataclass(eq=False)
class BaselineMissing(SkewlessError):
    """A bundle was published without a baseline, or with one of an earlier format."""

    model: str
    version: str
    reason: str

    def __str__(self) -> str:
        return (
            f"the baseline of {self.model} {self.version} cannot be compared with: {self.reason}; "
            "publish the model again with `skewless publish --version NEXT`"
        )


class NumberSketch(msgspec.Struct, frozen=True, tag="sketch"):
    """Numbers of many values: of `rows`, `nulls` were null (NaN); `quantiles` are values that occurred, at the middles
    of 512 even shares.
    """

    rows: int
    nulls: int
    quantiles: tuple[float, ...]


class CategoryCounts(msgspec.Struct, frozen=True, tag="counted"):
    """Things of few values: of `rows`, `nulls` were null; `counts` of the most frequent values, `other` of the rest.

    Numbers are named by nine digits, which tell every float32 from every other.
    """

    rows: int
    nulls: int
    counts: dict[str, int]
    other: int = 0


Distribution = NumberSketch | CategoryCounts


class Baseline(msgspec.Struct, frozen=True):
    """`inputs` by model column, `keys` by join key, `views` by the plan's view name (where the training set tells).
    `outputs` by name, where a model tells more than one number a row; then `scores` is the first of them.
    """

    inputs: dict[str, Distribution]
    keys: dict[str, CategoryCounts]
    views: dict[str, AbsentRows]
    scores: Distribution
    format: Literal[2] = 2
    outputs: dict[str, Distribution] = {}


def describe(
    plan: Plan,
    form: ModelSignature,
    inputs: ModelInput,
    keys: pa.Table,
    absent: Mapping[str, AbsentRows],
    scores: Scores,
) -> Baseline:
    """The baseline of training rows (`inputs` and `keys`) and of the scores of the test window."""
    told = {name: distribution(array) for name, array in cells(form.told, form.told_arrays(scores))}
    return Baseline(
        inputs={name: distribution(array) for name, array in cells(form.taken, form.taken_arrays(inputs))},
        keys={key.name: texts(keys.column(key.name)) for key in plan.join_keys},
        views=dict(absent),
        scores=next(iter(told.values())),
        outputs=told if len(told) > 1 else {},
    )


def distribution(values: Array) -> Distribution:
    """The distribution of one input or output."""
    if values.dtype == object:
        return texts(pa.chunked_array([pa.array(values, pa.string())]))
    return numbers(as_numbers(values))


def as_numbers(values: Array) -> Numbers:
    """Whole numbers and truths as floating ones."""
    return values if values.dtype.kind == "f" else values.astype(np.float64)


def numbers(values: Numbers) -> Distribution:
    """The distribution of numbers; NaN is null. Few values are counted, of many a sketch is kept."""
    there = present(values)
    distinct, counts = np.unique(there, return_counts=True)
    nulls = len(values) - len(there)
    if len(distinct) <= _DISCRETE and len(there) >= _ROWS_PER_VALUE * len(distinct):
        named = dict(zip(names(distinct), counts.tolist(), strict=True))
        return CategoryCounts(len(values), nulls, named)
    middles = (np.arange(QUANTILES) + 0.5) / QUANTILES
    quantiles = np.quantile(there, middles, method="inverted_cdf")
    return NumberSketch(len(values), nulls, tuple(quantiles.tolist()))


def texts(column: pa.ChunkedArray) -> CategoryCounts:
    """The distribution of a column of names: its most frequent values, and how many rows have another."""
    found = counted_names(column)
    often = sorted(found, key=lambda name: (-found[name], name))[:_CATEGORIES]
    kept = {name: found[name] for name in often}
    return CategoryCounts(len(column), column.null_count, kept, sum(found.values()) - sum(kept.values()))


def counted_names(column: pa.ChunkedArray) -> dict[str, int]:
    """How often each value occurs; nulls do not count."""
    counted = pc.value_counts(column.drop_null()).flatten()
    return dict(zip(map(str, counted[0].to_pylist()), counted[1].to_pylist(), strict=True))


def present(values: Numbers) -> Numbers:
    """The numbers that are there; infinities become the greatest float32, which JSON can hold."""
    return np.clip(values[~np.isnan(values)], -_GREATEST, _GREATEST)


def names(values: Numbers) -> list[str]:
    """What `CategoryCounts` calls some numbers."""
    return [f"{value:.9g}" for value in values.tolist()]


def read(folder: Path, model: str, version: str) -> Baseline:
    """The baseline of a proven bundle. Raises: BaselineMissing."""
    try:
        return msgspec.json.decode((folder / BASELINE).read_bytes(), type=Baseline)
    except (msgspec.MsgspecError, OSError) as error:
        raise BaselineMissing(model, version, str(error)) from error
