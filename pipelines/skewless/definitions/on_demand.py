"""Computes the outputs of a Feast on-demand view by the transform's traced graph, as training and servers run it.

NumPy's `sin` or `exp` and ONNX Runtime's differ in their last bits, and ONNX Runtime's `where` turns -0.0 into 0.0. A
view that calls the function itself gives the graph's bits only where it consists of + - * / and comparisons.

Held by tests/feast/test_on_demand.py.
"""

from __future__ import annotations

import inspect
from collections.abc import Collection
from functools import lru_cache
from types import SimpleNamespace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from skewless.contract.columns import ColumnValues
from skewless.contract.model.transforms import TransformGraph
from skewless.contract.plan import ColumnSource, Field, Plan, RequestInput, Transform, TransformOutput
from skewless.definitions import onnx_tracing
from skewless.definitions.onnx_tracing import Function
from skewless.runtime.errors import TransformsMissing
from skewless.runtime.settings import ProjectSettings

Numbers = NDArray[np.float64]


def project_transforms() -> SimpleNamespace:
    """The functions of the project's `feature_repo/transforms.py`: of the feature repository that
    SKEWLESS_FEATURE_REPO names, or of the nearest one upward of the working folder.

    Raises: TransformsMissing, Untraceable.
    """
    repo = ProjectSettings.read().feature_repo
    file = repo / "transforms.py"
    if not file.is_file():
        raise TransformsMissing(str(file))
    return SimpleNamespace(**onnx_tracing.load_functions(repo))


def computed(function: Function, inputs: pd.DataFrame, *, singles: Collection[str] = ()) -> pd.DataFrame:
    """The outputs of a function of `feature_repo/transforms.py` for Feast's frame of its inputs, null where NaN.

    `singles` are the inputs declared as Float32: the dtypes of Feast's online frames do not show it. Raises: Untraceable.
    """
    graph, outputs = _graph(function, frozenset(singles))
    valid = np.ones(len(inputs), bool)
    values: dict[ColumnSource, ColumnValues] = {}
    for name in inspect.signature(function).parameters:
        values[RequestInput(name)] = ColumnValues(_numbers(inputs[name]), valid)
    results = graph.run(values)
    return pd.DataFrame(
        {name: results[TransformOutput(function.__name__, name)].data for name in outputs}, index=inputs.index
    )


@lru_cache(maxsize=64)
def _graph(function: Function, singles: frozenset[str]) -> tuple[TransformGraph, tuple[str, ...]]:
    """The graph of one function, and the names of its outputs. Raises: Untraceable."""
    names = tuple(inspect.signature(function).parameters)
    request = tuple(Field(name, "Float32" if name in singles else "Float64") for name in names)
    outputs = tuple(function(**{name: np.zeros(0, "f4" if name in singles else "f8") for name in names}))
    transform = Transform(
        function.__name__,
        tuple((name, RequestInput(name)) for name in names),
        tuple(Field(output, "Float32") for output in outputs),
        "",
    )
    plan = Plan("on demand", "", (), request, (transform,), ())
    return TransformGraph(plan, onnx_tracing.trace(plan, {function.__name__: function}) or b""), outputs


def _numbers(column: pd.Series) -> Numbers:
    """Float64, NaN where null; times are microseconds since 1970."""
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        moments = column.to_numpy("datetime64[us]")
        return np.where(np.isnat(moments), np.nan, moments.astype(np.int64).astype(np.float64))
    return pd.to_numeric(column).to_numpy("float64", na_value=np.nan)
