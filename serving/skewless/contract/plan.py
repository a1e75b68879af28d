"""A plan: one feature service compiled to the ordered columns of a model, with everything that decides their values.

A plan is a value. It is made from Feast's registry by `skewless.definitions.compiler`, travels inside a bundle as
`plan.json`, and its fingerprint names the contract: two plans with one fingerprint give the same numbers.
`plan_validation` parses and checks it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import msgspec

from skewless.contract.admission import AdmissionRule, KnownBy
from skewless.contract.errors import InvalidPlan
from skewless.contract.timestamps import MICROSECOND

STORE = "the store"
DUMMY_ENTITY = ("__dummy_id", "")
"""Join key and value that Feast gives the one entity of an entityless view."""


class Field(msgspec.Struct, frozen=True):
    """A named value of a Feast type (`Float32`, `String`, `Array(Int64)`, ...: see `types`)."""

    name: str
    dtype: str


class JoinKey(msgspec.Struct, frozen=True):
    """A join key: `name` in the spine and in requests, `key` in the store (they differ for an aliased entity)."""

    name: str
    key: str
    dtype: str


class PlanView(msgspec.Struct, frozen=True):
    """A feature view: what it stores, for which entity, and its admission rule.

    `name` is the view's name in this plan, `stored_as` its name in the stores (they differ for an aliased view).
    `fields` are all features of the view in definition order: the schema of its rows. `ttl_us` is in microseconds,
    0 where rows never age. `deleted_field` names the boolean source column that marks tombstones.
    """

    name: str
    stored_as: str
    join_keys: tuple[JoinKey, ...]
    fields: tuple[Field, ...]
    ttl_us: int
    known_by: KnownBy
    deleted_field: str | None = None

    @property
    def rule(self) -> AdmissionRule:
        """The view's admission rule."""
        return AdmissionRule(self.ttl_us, self.known_by)


class StoredFeature(msgspec.Struct, frozen=True, tag="feature"):
    """A stored feature, as `view` (the plan's name for it) and `name`."""

    view: str
    name: str


class RequestInput(msgspec.Struct, frozen=True, tag="request"):
    """A value that the caller sends with the request."""

    name: str


class TransformOutput(msgspec.Struct, frozen=True, tag="computed"):
    """An output of a transform."""

    transform: str
    name: str


ColumnSource = StoredFeature | RequestInput | TransformOutput


class Transform(msgspec.Struct, frozen=True):
    """An on-demand view: a pure function of stored features and request inputs, traced to an ONNX graph.

    `inputs` are the function's parameters by name and where each comes from; `digest` is the SHA-256 of its traced
    graph, so that a changed function is a changed plan.
    """

    name: str
    inputs: tuple[tuple[str, StoredFeature | RequestInput], ...]
    outputs: tuple[Field, ...]
    digest: str


class ModelColumn(msgspec.Struct, frozen=True):
    """A column of the model's input: its name, where it comes from, and the value that stands for a null."""

    name: str
    source: ColumnSource
    default: float | None = None

    def __post_init__(self) -> None:
        """An int is taken for the float that it reads back as, so that the fingerprint survives a round trip."""
        if self.default is not None:
            msgspec.structs.force_setattr(self, "default", float(self.default))


class Plan(msgspec.Struct, frozen=True, dict=True):
    """A feature service compiled: ordered `columns`, and the views, request inputs and transforms behind them."""

    name: str
    project: str
    views: tuple[PlanView, ...]
    request: tuple[Field, ...]
    transforms: tuple[Transform, ...]
    columns: tuple[ModelColumn, ...]
    format: Literal[1] = 1

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the plan's canonical JSON, in hexadecimal."""
        return hashlib.sha256(self.to_json()).hexdigest()

    @cached_property
    def join_keys(self) -> tuple[Field, ...]:
        """The distinct join keys that a spine or a request carries, in order of first use."""
        named = {key.name: Field(key.name, key.dtype) for view in self.views for key in view.join_keys}
        return tuple(named.values())

    def view(self, name: str) -> PlanView:
        """The view called `name` in this plan. Raises: InvalidPlan."""
        for view in self.views:
            if view.name == name:
                return view
        raise InvalidPlan(self.name, f"it has no feature view {name!r}")

    def to_json(self) -> bytes:
        """Canonical JSON: sorted keys, so that equal plans are equal bytes."""
        return msgspec.json.encode(self, order="sorted")


@dataclass(frozen=True, slots=True)
class ViewDifference:
    """One difference between two definitions of a view."""

    view: str
    what: str
    trained: str
    stored: str
    where: str = STORE

    def __str__(self) -> str:
        return f"{self.view}: {self.what} was {self.trained} in training and is {self.stored} in {self.where}"


def differences(
    trained: PlanView, stored: PlanView | None, used: tuple[Field, ...], *, where: str = STORE
) -> list[ViewDifference]:
    """The differences between `trained` (from a bundle) and `stored` that affect one of the `used` features.

    Other features do not matter: they may have been added or removed since. `where` names the side that is read.
    """
    name = trained.stored_as
    if stored is None:
        absent = "absent (nothing was materialized)" if where == STORE else "absent"
        return [ViewDifference(name, "the view", "defined", absent, where)]
    result = [
        ViewDifference(name, what, text(expected), text(current), where)
        for what, value, text in _DECIDE_ROWS
        if (expected := value(trained)) != (current := value(stored))
    ]
    types = {field.name: field.dtype for field in stored.fields}
    return result + [
        ViewDifference(name, f"feature {field.name}", field.dtype, types.get(field.name, "absent"), where)
        for field in used
        if types.get(field.name) != field.dtype
    ]


_DECIDE_ROWS: list[tuple[str, Callable[[PlanView], Any], Callable[[Any], str]]] = [
    ("ttl", lambda view: view.ttl_us, lambda ttl_us: str(ttl_us * MICROSECOND) if ttl_us else "none"),
    ("known_by", lambda view: view.known_by, str),
    ("deleted_field", lambda view: view.deleted_field, lambda field: field or "none"),
    (
        "join key",
        lambda view: sorted((key.key, key.dtype) for key in view.join_keys),
        lambda keys: ", ".join(f"{key} {dtype}" for key, dtype in keys) or "none",
    ),
]
"""What decides a view's rows besides its features: its name, its value, and the value in words."""
