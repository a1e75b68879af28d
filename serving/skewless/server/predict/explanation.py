"""Explanations of predictions, compiled once per model: the feature values of each row, or their contributions to it.

A stored feature is `{"value", "status", "event_timestamp", "age_seconds"}` in the response; a request input and a
transform's output have no time of their own, so they are `{"value", "status"}`. Contributions are `{"base", "raw", "features"}`:
numbers for a model with one raw score, else lists with one number for each raw score.

Held by tests/server/predict/test_micro_batcher.py.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from skewless.contract.admission import FeatureStatus
from skewless.contract.json_values import Json, to_json
from skewless.contract.model.assembler import AdmittedRows, column_types, wanted_features
from skewless.contract.model.shapley import ShapleyValues
from skewless.contract.model.signature import ModelSignature
from skewless.contract.model.transforms import reference
from skewless.contract.plan import ColumnSource, Plan, StoredFeature
from skewless.contract.timestamp_arrays import UtcMicrosArray, rfc3339_texts
from skewless.contract.timestamps import SECOND_US, UtcMicros
from skewless.contract.value_types import ValueType, value_type
from skewless.server.predict.predictor import Prediction

Entry = dict[str, Json]
_NAMES = {int(status): status.name for status in FeatureStatus}


class ExplainedFeature(NamedTuple):
    """The explanation of each row, and the response's member (`features` or `contributions`) that carries it."""

    member: str
    rows: list[Any]


class FeatureExplainer:
    """The features of a plan: stored ones by view, request inputs, transform outputs; and the inputs of its model."""

    def __init__(self, plan: Plan, signature: ModelSignature) -> None:
        self._inputs = signature.inputs[0].names
        types = {source: value_type(dtype) for source, dtype in column_types(plan).items()}
        self._views = tuple(
            (
                view,
                tuple(
                    (i, StoredFeature(view, f.name), types[StoredFeature(view, f.name)]) for i, f in enumerate(fields)
                ),
            )
            for view, fields in wanted_features(plan).items()
        )
        self._inputs_and_outputs = tuple(
            (source, kind) for source, kind in types.items() if not isinstance(source, StoredFeature)
        )
        stored = [reference(source) for _, features in self._views for _, source, _ in features]
        self._names = (*stored, *(reference(source) for source, _ in self._inputs_and_outputs))

    def explain(self, prediction: Prediction) -> ExplainedFeature:
        """The contributions where the prediction has them, else the features."""
        if prediction.contributions is not None:
            return ExplainedFeature("contributions", self._contributions(prediction.contributions))
        return ExplainedFeature("features", self.rows(prediction))

    def _contributions(self, shapley: ShapleyValues) -> list[dict[str, Any]]:
        """Per row, by the names of the model's columns; base and contributions add up to the raw score."""
        base, raw, values = shapley.base, shapley.raw, shapley.values.transpose(0, 2, 1)
        if len(base) == 1:
            base, raw, values = base[0], raw[:, 0], values[:, :, 0]
        bases = base.tolist()
        return [
            {"base": bases, "raw": score, "features": dict(zip(self._inputs, row, strict=True))}
            for score, row in zip(raw.tolist(), values.tolist(), strict=True)
        ]

    def rows(self, prediction: Prediction) -> list[dict[str, Entry]]:
        """Per row, each feature by its full name (see `reference`)."""
        columns = []
        for view, features in self._views:
            admitted = prediction.served.views[view]
            events, ages = _times(admitted, prediction.served.served_at)
            for index, source, kind in features:
                entries = _entries(prediction, source, kind, admitted.feature_status(index))
                for entry, event, age in zip(entries, events, ages, strict=True):
                    entry["event_timestamp"], entry["age_seconds"] = event, age
                columns.append(entries)
        for other, kind in self._inputs_and_outputs:
            valid = prediction.values[other].valid
            columns.append(
                _entries(prediction, other, kind, np.where(valid, FeatureStatus.PRESENT, FeatureStatus.NULL))
            )
        return [dict(zip(self._names, row, strict=True)) for row in zip(*columns, strict=True)]


def _entries(prediction: Prediction, source: ColumnSource, kind: ValueType, status: np.ndarray) -> list[Entry]:
    """Value and status of one feature. A NaN or infinity has no form in JSON, so it is NULL."""
    entries = []
    for value, code in zip(to_json(kind, prediction.values[source]), status.tolist(), strict=True):
        name = _NAMES[code]
        entries.append({"value": value, "status": "NULL" if value is None and name == "PRESENT" else name})
    return entries


def _times(admitted: AdmittedRows, at: UtcMicros) -> tuple[list[str | None], list[float | None]]:
    """Event times and ages of a view's rows; None where the entity is not found."""
    present = ~np.isin(admitted.status, (FeatureStatus.NOT_FOUND, FeatureStatus.NOT_READ))
    events: UtcMicrosArray = np.where(present, admitted.rows.event, 0)
    ages = ((at - events) / SECOND_US).tolist()
    has_row = present.tolist()
    return (
        [text if has else None for text, has in zip(rfc3339_texts(events), has_row, strict=True)],
        [age if has else None for age, has in zip(ages, has_row, strict=True)],
    )
