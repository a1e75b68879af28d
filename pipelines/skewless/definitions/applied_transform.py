"""The transform of an on-demand view as it was applied: a traced graph inside the view's definition in the registry.

`apply` puts a body into an on-demand view that runs the graph of its function in `transforms.py`. So Feast's SDK, training
sets and bundles run one graph, from any folder, until the next apply: an edit of `transforms.py` changes nothing before.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Literal

import msgspec
import numpy as np
import pandas as pd
from feast import OnDemandFeatureView
from numpy.typing import NDArray

from skewless.contract.columns import ColumnValues
from skewless.contract.errors import InvalidInput
from skewless.contract.model.transforms import TransformGraph, reference
from skewless.contract.plan import (
    ColumnSource,
    Field,
    Plan,
    RequestInput,
    StoredFeature,
    Transform,
    TransformOutput,
)

Numbers = NDArray[np.float64]
_COMPUTE = "compute_applied"


class TransformArgument(msgspec.Struct, frozen=True):
    """A parameter of a transform's function: its name, where its value comes from, and the declared type."""

    name: str
    source: StoredFeature | RequestInput
    dtype: str


class AppliedTransform(msgspec.Struct, frozen=True):
    """A transform with the ONNX graph that was traced from it alone, whose inputs and outputs are named by `reference`."""

    name: str
    arguments: tuple[TransformArgument, ...]
    outputs: tuple[Field, ...]
    graph: bytes
    format: Literal[1] = 1

    @property
    def digest(self) -> str:
        """SHA-256 of the graph."""
        return hashlib.sha256(self.graph).hexdigest()

    @property
    def transform(self) -> Transform:
        """The transform of a plan."""
        inputs = tuple((argument.name, argument.source) for argument in self.arguments)
        return Transform(self.name, inputs, self.outputs, self.digest)


def plan_of_requests(transform: Transform, dtypes: Iterable[str]) -> Plan:
    """The plan of one transform alone, all of whose inputs come with the request, under their names in the graph."""
    sources = [reference(source) for _, source in transform.inputs]
    request = {name: Field(name, dtype) for name, dtype in zip(sources, dtypes, strict=True)}
    inputs = tuple((name, RequestInput(reference(source))) for name, source in transform.inputs)
    alone = Transform(transform.name, inputs, transform.outputs, transform.digest)
    return Plan(transform.name, "", (), tuple(request.values()), (alone,), ())


def body_text(transform: AppliedTransform, source: str) -> str:
    """The body of the on-demand view in the registry. `source` is the function's text, as a comment for who reads it."""
    comment = "".join(f"    # {line}\n" if line.strip() else "    #\n" for line in source.rstrip().splitlines())
    record = msgspec.json.encode(transform, order="sorted").decode()
    return (
        f"def {transform.name}(inputs):\n"
        f"    # The graph that `apply` traced from this function of transforms.py:\n    #\n{comment}"
        f"    from {__name__} import {_COMPUTE}\n\n"
        f"    return {_COMPUTE}({record!r}, inputs)\n"
    )


def applied_transform(view: OnDemandFeatureView) -> AppliedTransform | None:
    """The transform that was applied with an on-demand view; None where its body is the user's own."""
    text = getattr(view.feature_transformation, "udf_string", None) or ""
    if f"import {_COMPUTE}\n" not in text:
        return None
    calls = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    (record,) = [
        call.args[0].value
        for call in calls
        if isinstance(call.func, ast.Name) and call.func.id == _COMPUTE and isinstance(call.args[0], ast.Constant)
    ]
    return _decoded(str(record))


def compute_applied(record: str, inputs: Any) -> Any:  # noqa: ANN401 - a frame, or a dict in Feast's mode "python"
    """The outputs of an applied transform for Feast's inputs of it, float32, null where NaN.

    A frame gives a frame, a dict of lists a dict of lists, a dict of values a dict of values.
    Raises: InvalidInput for an input that is missing.
    """
    transform, graph = _opened(record)
    if isinstance(inputs, pd.DataFrame):
        columns = {str(name): inputs[name] for name in inputs.columns}
        return pd.DataFrame(_run(transform, graph, columns), index=inputs.index)
    named = {argument.name: _argument_value(argument, inputs) for argument in transform.arguments}
    rows = {name: value if isinstance(value, list) else [value] for name, value in named.items()}
    given = {reference(argument.source): pd.Series(rows[argument.name]) for argument in transform.arguments}
    outputs = {name: list(data) for name, data in _run(transform, graph, given).items()}
    single = not any(isinstance(value, list) for value in named.values())
    return {name: values[0] for name, values in outputs.items()} if single else outputs


@lru_cache(maxsize=64)
def _opened(record: str) -> tuple[AppliedTransform, TransformGraph]:
    transform = _decoded(record)
    plan = plan_of_requests(transform.transform, [argument.dtype for argument in transform.arguments])
    return transform, TransformGraph(plan, transform.graph)


def _decoded(record: str) -> AppliedTransform:
    return msgspec.json.decode(record, type=AppliedTransform)


def _run(
    transform: AppliedTransform, graph: TransformGraph, columns: Mapping[str, pd.Series]
) -> dict[str, NDArray[Any]]:
    values: dict[ColumnSource, ColumnValues] = {}
    for argument in transform.arguments:
        numbers = _numbers(_argument_value(argument, columns))
        values[RequestInput(reference(argument.source))] = ColumnValues(numbers, np.ones(len(numbers), bool))
    results = graph.run(values)
    return {field.name: results[TransformOutput(transform.name, field.name)].data for field in transform.outputs}


def _argument_value(argument: TransformArgument, columns: Mapping[str, Any]) -> Any:  # noqa: ANN401 - a column or a value
    """The value by its full name, which is unique, else by its short one."""
    for name in (reference(argument.source), argument.source.name):
        if name in columns:
            return columns[name]
    raise InvalidInput(argument.source.name, "is an input of an on-demand view and is missing")


def _numbers(column: pd.Series) -> Numbers:
    """Float64, NaN where null; times are microseconds since 1970."""
    if isinstance(column.dtype, pd.DatetimeTZDtype) or column.dtype.kind == "M":
        moments = column.to_numpy("datetime64[us]")
        return np.where(np.isnat(moments), np.nan, moments.astype(np.int64).astype(np.float64))
    return pd.to_numeric(column).to_numpy("float64", na_value=np.nan)
