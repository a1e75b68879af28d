"""Binds on-demand views to the functions of `transforms.py` at apply: each gets a body that runs its function's graph.

Held by tests/definitions/test_applied_transform.py.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from feast import OnDemandFeatureView
from feast.transformation.pandas_transformation import PandasTransformation
from feast.transformation.python_transformation import PythonTransformation
from feast.transformation.udf_rehydrate import rehydrate_udf_from_source

from skewless.contract.errors import InvalidPlan
from skewless.contract.model.transforms import reference
from skewless.contract.plan import Field, RequestInput, StoredFeature, Transform
from skewless.definitions.applied_transform import (
    AppliedTransform,
    TransformArgument,
    applied_transform,
    body_text,
    plan_of_requests,
)
from skewless.definitions.feast_types import dtype_of

if TYPE_CHECKING:
    from skewless.definitions.onnx_tracing import Function

_TRANSFORMATIONS = {"pandas": PandasTransformation, "python": PythonTransformation}


def bind(views: Sequence[OnDemandFeatureView], repo: Path) -> None:
    """Put the graph of its function in `repo/transforms.py` into each view that has one of its name.

    A view without a function keeps its body: the user's own, or the graph with which it was last applied.
    Raises: Untraceable; UnsupportedType; InvalidPlan where the tag `transform` names no function, or a parameter is not
    exactly one input of its view.
    """
    if not views:
        return
    # Tracing's packages take 45 MB, which an apply without on-demand views does not need.
    from skewless.definitions.onnx_tracing import load_functions  # noqa: PLC0415

    functions = load_functions(repo)
    for view in views:
        named = view.tags.get("transform", view.name)
        if named != view.name:
            raise InvalidPlan(view.name, f"its tag transform is {named!r}; give function and view one name")
        function = functions.get(view.name)
        if function is not None and view.mode in _TRANSFORMATIONS:
            _put(view, body_text(traced(view, function), inspect.getsource(function)))
        elif "transform" in view.tags and applied_transform(view) is None:
            raise InvalidPlan(view.name, f"{repo / 'transforms.py'} has no function of the on-demand view's name")


def traced(view: OnDemandFeatureView, function: Function) -> AppliedTransform:
    """The transform of a view, traced from its function. Raises: Untraceable, InvalidPlan, UnsupportedType."""
    from skewless.definitions.onnx_tracing import trace  # noqa: PLC0415 - as above

    arguments = tuple(_argument(view, parameter) for parameter in inspect.signature(function).parameters)
    outputs = tuple(Field(field.name, dtype_of(field)) for field in view.features)
    transform = Transform(view.name, tuple((a.name, a.source) for a in arguments), outputs, "")
    graph = trace(plan_of_requests(transform, [a.dtype for a in arguments]), {view.name: function})
    return AppliedTransform(view.name, arguments, outputs, graph or b"")


def _argument(view: OnDemandFeatureView, parameter: str) -> TransformArgument:
    """Where a parameter's value comes from: a request input, a feature, or a feature by its full name."""
    candidates = [
        TransformArgument(parameter, RequestInput(field.name), dtype_of(field))
        for source in view.source_request_sources.values()
        for field in source.schema
        if field.name == parameter
    ]
    for projection in view.source_feature_view_projections.values():
        for field in projection.features:
            feature = StoredFeature(projection.name_to_use(), field.name)
            if parameter in (field.name, reference(feature)):
                candidates.append(TransformArgument(parameter, feature, dtype_of(field)))
    if len(candidates) != 1:
        raise InvalidPlan(
            view.name, f"its function's parameter {parameter!r} names {len(candidates)} of its inputs, not 1"
        )
    return candidates[0]


def _put(view: OnDemandFeatureView, text: str) -> None:
    """Make `text` the body of a view, as Feast makes it from a registry."""
    body = rehydrate_udf_from_source(text, preferred_name=view.name)
    if body is None:
        raise InvalidPlan(view.name, "it has no name of a Python function")
    view.udf, view.udf_string = body, text  # type: ignore[assignment]
    view.feature_transformation = _TRANSFORMATIONS[view.mode](udf=body, udf_string=text)
