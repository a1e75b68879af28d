"""Parses and checks plans: names, numbers and value types.

Held by tests/contract/test_plan.py.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from skewless.contract.errors import InvalidPlan
from skewless.contract.plan import ColumnSource, Plan, RequestInput, StoredFeature, TransformOutput
from skewless.contract.value_types import plain_type, value_type

_GREATEST_FLOAT32 = 3.4028234663852886e38


def plan_from_json(data: bytes, *, name: str = "?") -> Plan:
    """Parse and check a plan. Raises: InvalidPlan, UnsupportedType."""
    try:
        plan = msgspec.json.decode(data, type=Plan)
    except msgspec.ValidationError as error:
        raise InvalidPlan(name, f"plan.json does not fit its format ({error})") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidPlan(name, "plan.json is not JSON") from error
    return check(plan)


def check(plan: Plan) -> Plan:
    """Refuse a plan with an undefined or duplicate name, or an invalid number.

    Raises: InvalidPlan, UnsupportedType.
    """
    for kind, names in _named(plan):
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise InvalidPlan(plan.name, f"{kind} {twice[0]!r} appears twice")
    _check_numbers(plan)
    known = _sources(plan)
    used = [column.source for column in plan.columns]
    used += [source for transform in plan.transforms for _, source in transform.inputs]
    for source in used:
        if source not in known:
            raise InvalidPlan(plan.name, f"it uses {source}, which it does not define")
    return plan


def _named(plan: Plan) -> Iterator[tuple[str, list[str]]]:
    """The lists of names that must be unique, each with the kind of thing that they name."""
    yield "feature view or transform", [v.name for v in plan.views] + [t.name for t in plan.transforms]
    yield "request input", [field.name for field in plan.request]
    yield "column", [column.name for column in plan.columns]
    # A join key may be a request input too: a request carries one value for both.
    carried = {(key.name, key.dtype) for view in plan.views for key in view.join_keys}
    carried |= {(field.name, field.dtype) for field in plan.request}
    yield "join key or request input with another type,", [name for name, _ in carried]
    for view in plan.views:
        yield f"in feature view {view.name!r}, feature", [field.name for field in view.fields]
        yield f"in feature view {view.name!r}, join key", [key.key for key in view.join_keys]
    for transform in plan.transforms:
        yield f"in transform {transform.name!r}, parameter", [name for name, _ in transform.inputs]
        yield f"in transform {transform.name!r}, output", [field.name for field in transform.outputs]


def _check_numbers(plan: Plan) -> None:
    if not plan.columns:
        raise InvalidPlan(plan.name, "it has no columns")
    for view in plan.views:
        if view.ttl_us < 0:
            raise InvalidPlan(plan.name, f"the ttl of feature view {view.name!r} is negative")
    for column in plan.columns:
        if column.default is not None and not abs(column.default) <= _GREATEST_FLOAT32:
            raise InvalidPlan(plan.name, f"the default of column {column.name!r} is not a finite float32")


def _sources(plan: Plan) -> set[ColumnSource]:
    """The sources that columns and transforms may use."""
    sources: set[ColumnSource] = set()
    for view in plan.views:
        for key in view.join_keys:
            plain_type(key.dtype, feature=key.name)
        for field in view.fields:
            value_type(field.dtype, feature=f"{view.name}:{field.name}")
            sources.add(StoredFeature(view.name, field.name))
    for field in plan.request:
        plain_type(field.dtype, feature=field.name)
        sources.add(RequestInput(field.name))
    for transform in plan.transforms:
        for field in transform.outputs:
            plain_type(field.dtype, feature=f"{transform.name}:{field.name}")
            sources.add(TransformOutput(transform.name, field.name))
    return sources
