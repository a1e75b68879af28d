"""The baseline of a bundle: the distribution of each model input, join key, view and score before serving.

Inputs, keys and views are those of the training rows; scores are those of the test window, since a model is overconfident
on the rows that it was trained on. Drift is measured against the baseline.
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
"""The greatest gap between a sketch's distribution function and that of its values (in theory one row more)."""
_DISCRETE = 32
_ROWS_PER_VALUE = 10
_CATEGORIES = 100
_GREATEST = float(np.finfo(np.float32).max)
Numbers = NDArray[np.floating]


@dataclass(eq=False)
class BaselineMissing(SkewlessError):
    """A bundle that was published without a baseline, or with a baseline of an earlier format."""

    model: str
    version: str
    reason: str

    def __str__(self) -> str:
        return (
            f"the baseline of {self.model} {self.version} cannot be read: {self.reason}; "
            "publish the model again with `skewless publish --version NEXT`"
        )


class NumberSketch(msgspec.Struct, frozen=True, tag="sketch"):
    """Numbers of many values: of `rows`, `nulls` were null (NaN). `quantiles` are values that occurred, at the midpoints of
    512 equal shares.
    """

    rows: int
    nulls: int
    quantiles: tuple[float, ...]


class CategoryCounts(msgspec.Struct, frozen=True, tag="counted"):
    """A column of few values: of `rows`, `nulls` were null. `counts` has the most frequent values, `other` counts the rest.

    Numbers are named by nine significant digits, which distinguish every float32.
    """

    rows: int
    nulls: int
    counts: dict[str, int]
    other: int = 0


Distribution = NumberSketch | CategoryCounts


class Baseline(msgspec.Struct, frozen=True):
    """The distributions: `inputs` by model column, `keys` by join key, `views` by the plan's view name (empty for training
    sets of older versions). `outputs` by name, where a model gives several values a row; `scores` is then the first.
    """

    inputs: dict[str, Distribution]
    keys: dict[str, CategoryCounts]
    views: dict[str, AbsentRows]
    scores: Distribution
    format: Literal[2] = 2
    outputs: dict[str, Distribution] = {}


def describe(
    plan: Plan,
    signature: ModelSignature,
    inputs: ModelInput,
    keys: pa.Table,
    absent: Mapping[str, AbsentRows],
    scores: Scores,
) -> Baseline:
    """Compute the baseline from training rows (`inputs` and `keys`) and the scores of the test window."""
    outputs = {name: distribution(array) for name, array in cells(signature.outputs, signature.output_arrays(scores))}
    return Baseline(
        inputs={name: distribution(array) for name, array in cells(signature.inputs, signature.input_arrays(inputs))},
        keys={key.name: texts(keys.column(key.name)) for key in plan.join_keys},
        views=dict(absent),
        scores=next(iter(outputs.values())),
        outputs=outputs if len(outputs) > 1 else {},
    )


def distribution(values: Array) -> Distribution:
    """The distribution of one input or output."""
    if values.dtype == object:
        return texts(pa.chunked_array([pa.array(values, pa.string())]))
    return numbers(as_numbers(values))


def as_numbers(values: Array) -> Numbers:
    """Integers and booleans as float64; floats as they are."""
    return values if values.dtype.kind == "f" else values.astype(np.float64)


def numbers(values: Numbers) -> Distribution:
    """The distribution of numbers; NaN is null. Columns of few values are counted, the others are sketched."""
    known = present(values)
    distinct, counts = np.unique(known, return_counts=True)
    nulls = len(values) - len(known)
    if len(distinct) <= _DISCRETE and len(known) >= _ROWS_PER_VALUE * len(distinct):
        named = dict(zip(names(distinct), counts.tolist(), strict=True))
        return CategoryCounts(len(values), nulls, named)
    middles = (np.arange(QUANTILES) + 0.5) / QUANTILES
    quantiles = np.quantile(known, middles, method="inverted_cdf")
    return NumberSketch(len(values), nulls, tuple(quantiles.tolist()))


def texts(column: pa.ChunkedArray) -> CategoryCounts:
    """The distribution of a text column: its 100 most frequent values, and how many rows have another."""
    counts = counted_names(column)
    frequent = sorted(counts, key=lambda name: (-counts[name], name))[:_CATEGORIES]
    named = {name: counts[name] for name in frequent}
    return CategoryCounts(len(column), column.null_count, named, sum(counts.values()) - sum(named.values()))


def counted_names(column: pa.ChunkedArray) -> dict[str, int]:
    """How often each value occurs; nulls do not count."""
    counted = pc.value_counts(column.drop_null()).flatten()
    return dict(zip(map(str, counted[0].to_pylist()), counted[1].to_pylist(), strict=True))


def present(values: Numbers) -> Numbers:
    """The numbers that are not NaN; infinities become the greatest float32, which JSON can represent."""
    return np.clip(values[~np.isnan(values)], -_GREATEST, _GREATEST)


def names(values: Numbers) -> list[str]:
    """The names of numbers in `CategoryCounts`."""
    return [f"{value:.9g}" for value in values.tolist()]


def read(folder: Path, model: str, version: str) -> Baseline:
    """The baseline of a bundle that was opened. Raises: BaselineMissing."""
    try:
        return msgspec.json.decode((folder / BASELINE).read_bytes(), type=Baseline)
    except (msgspec.MsgspecError, OSError) as error:
        raise BaselineMissing(model, version, str(error)) from error
