"""The assembler: a plan compiled to the function from rows and request inputs to the model's input.

Training, batch, server, audit and golden rows call this; column order, default and cast are decided here and only
here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skewless.contract.admission import FeatureStatus
from skewless.contract.columns import ColumnValues, EntityRows, Schema
from skewless.contract.errors import InvalidPlan
from skewless.contract.model.transforms import TransformGraph, as_input, reference
from skewless.contract.plan import ColumnSource, Field, Plan, RequestInput, StoredFeature, TransformOutput
from skewless.contract.timestamp_arrays import Instant
from skewless.contract.value_types import value_type

Matrix = NDArray[np.float32]
_F4 = np.dtype("<f4")


@dataclass(frozen=True, slots=True)
class AdmittedRows:
    """The rows of one view after the admission rule: `status` is a `FeatureStatus` for each of the n entities."""

    rows: EntityRows
    status: NDArray[np.uint8]

    def values(self, index: int) -> ColumnValues:
        """The values of the feature at `index` of the view's wanted features; null unless the view is PRESENT."""
        column = self.rows.columns[index]
        return ColumnValues(column.data, column.valid & (self.status == FeatureStatus.PRESENT))

    def feature_status(self, index: int) -> NDArray[np.uint8]:
        """The status of one feature: as the view's, but NULL where a present row holds a null."""
        null = (self.status == FeatureStatus.PRESENT) & ~self.rows.columns[index].valid
        return np.where(null, np.uint8(FeatureStatus.NULL), self.status)


def admit(plan: Plan, view: str, rows: EntityRows, at: Instant) -> AdmittedRows:
    """Apply the view's admission rule at `at` (n instants in microseconds, or one for all)."""
    rule = plan.view(view).rule
    return AdmittedRows(rows, rule.status(rows.event, rows.created, rows.deleted, at))


class Assembler:
    """Compiled from a plan and its traced transforms. `wanted` gives, per view, the features that are read."""

    def __init__(self, plan: Plan, transforms: bytes | None) -> None:
        self.plan = plan
        self.wanted = wanted_features(plan)
        self._places = {
            StoredFeature(view, field.name): (view, index)
            for view, fields in self.wanted.items()
            for index, field in enumerate(fields)
        }
        self._request = {RequestInput(field.name): field.name for field in plan.request}
        self._graph = TransformGraph(plan, transforms) if plan.transforms and transforms else None
        if plan.transforms and self._graph is None:
            raise InvalidPlan(plan.name, "it has transforms, but their graph is missing")

    @property
    def names(self) -> tuple[str, ...]:
        """The model's columns in order."""
        return tuple(column.name for column in self.plan.columns)

    def values(
        self, views: Mapping[str, AdmittedRows], request: Mapping[str, ColumnValues]
    ) -> dict[ColumnSource, ColumnValues]:
        """Every value that the plan names, for n rows: stored features, request inputs, transform outputs."""
        values: dict[ColumnSource, ColumnValues] = {
            source: views[view].values(index) for source, (view, index) in self._places.items()
        }
        values |= {source: request[name] for source, name in self._request.items()}
        return self.complete(values)

    @property
    def untransformed(self) -> tuple[ColumnSource, ...]:
        """The values that are read or sent, which no transform computes: features by view, then request inputs."""
        return (*self._places, *self._request)

    def complete(self, untransformed: dict[ColumnSource, ColumnValues]) -> dict[ColumnSource, ColumnValues]:
        """These values and the transforms' outputs for them."""
        return untransformed | self._graph.run(untransformed) if self._graph is not None else untransformed

    def matrix(self, values: Mapping[ColumnSource, ColumnValues]) -> Matrix:
        """The model's input: n rows of float32, columns in plan order, default (else NaN) where null."""
        columns = [column_input(values[column.source], column.default) for column in self.plan.columns]
        return np.ascontiguousarray(np.stack(columns, axis=1), dtype=np.float32)

    def assemble(self, views: Mapping[str, AdmittedRows], request: Mapping[str, ColumnValues]) -> Matrix:
        """From admitted rows and request inputs to the model's input."""
        return self.matrix(self.values(views, request))


def column_input(values: ColumnValues, default: float | None) -> NDArray[np.floating]:
    """Values as a column of the model's input: float32, the default (else NaN) where null."""
    with np.errstate(over="ignore", invalid="ignore"):  # a float64 beyond float32 is its infinity
        column = as_input(values, _F4)
    return column if default is None else np.where(values.valid, column, np.float32(default))


def wanted_features(plan: Plan) -> dict[str, Schema]:
    """Per view of the plan (in order), the features that columns or transforms use, in the view's order."""
    used = {column.source for column in plan.columns}
    used |= {source for transform in plan.transforms for _, source in transform.inputs}
    return {
        view.name: tuple(field for field in view.fields if StoredFeature(view.name, field.name) in used)
        for view in plan.views
    }


def column_types(plan: Plan) -> dict[ColumnSource, str]:
    """The Feast type of every value that a plan names.

    Raises: InvalidPlan where a model column is neither number nor text, or two values have one `reference`.
    """
    types: dict[ColumnSource, str] = {
        StoredFeature(view.name, field.name): field.dtype for view in plan.views for field in view.fields
    }
    types |= {RequestInput(field.name): field.dtype for field in plan.request}
    types |= {TransformOutput(t.name, field.name): field.dtype for t in plan.transforms for field in t.outputs}
    references = [reference(source) for source in types]
    for name in references:
        if references.count(name) > 1:
            raise InvalidPlan(plan.name, f"two of its values are called {name!r}")
    for column in plan.columns:
        if value_type(types[column.source], feature=column.name).encoding not in ("fixed", "utf8"):
            what = f"column {column.name!r} is a {types[column.source]}; models take numbers and texts"
            raise InvalidPlan(plan.name, what)
    return types


def fields_of(plan: Plan) -> tuple[Field, ...]:
    """What a spine or a request carries: the join keys, then the request inputs that are no join keys."""
    return tuple({field.name: field for field in (*plan.join_keys, *plan.request)}.values())
