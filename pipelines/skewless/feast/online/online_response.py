"""The answer to `get_online_features`: columns of Python values, and Feast's messages where somebody asks for them.

Feast makes a message of each value, copies it into its response, and makes a Python value of it again.

Held by tests/feast/online/test_online_response.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from feast import FeatureView
from feast.metrics import track_feature_statuses
from feast.online_response import TIMESTAMP_POSTFIX, OnlineResponse
from feast.protos.feast.serving.ServingService_pb2 import GetOnlineFeaturesResponse
from feast.type_map import feast_value_type_to_python_type
from feast.utils import _drop_unneeded_columns
from skewless.contract.admission import MISSING, FeatureStatus
from skewless.contract.timestamps import SECOND_US, from_micros
from skewless.feast.online.online_read import OnlineViewRead
from skewless.feast.proto_values import to_protos

_PLAIN = ("Bool", "Bytes", "Float32", "Float64", "Int32", "Int64", "String")
"""Types whose values in Python are those of the row."""
FeatureTypes = dict[str, Any]
"""Feast's `ValueType` by the name of a feature."""


@dataclass(frozen=True, slots=True)
class ViewColumns:
    """The features of one view in a response, under the names that they have there; `name` and `version` are the view's."""

    name: str
    version: int
    names: Sequence[str]
    rows: OnlineViewRead

    @classmethod
    def of(cls, table: FeatureView, features: Sequence[str], rows: OnlineViewRead, *, full: bool) -> ViewColumns:
        """Of a view as it was asked for. The values that are there and those that are not are counted, as Feast does."""
        name = table.projection.name_to_use()
        missing = rows.decoded.view_status.count(FeatureStatus.NOT_FOUND) * len(features)
        track_feature_statuses(table.name, len(rows.decoded.event) * len(features) - missing, missing)
        return cls(
            name=table.projection.name_alias or table.projection.name,
            version=getattr(table, "current_version_number", 0) or 0,
            names=[f"{name}__{feature}" for feature in features] if full else features,
            rows=rows,
        )

    def python_values(self, types: Callable[[], FeatureTypes]) -> Iterator[tuple[str, list[Any]]]:
        """Each feature's n values as Feast gives them in Python."""
        for name, kind, values in zip(self.names, self.rows.types, self.rows.decoded.values, strict=True):
            if kind.name in _PLAIN:
                yield name, list(values)
            else:
                feast_type = types().get(name)
                yield name, [feast_value_type_to_python_type(value, feast_type) for value in to_protos(kind, values)]

    def event_seconds(self) -> list[int]:
        """The event time of each row; 0 where there is none."""
        return [0 if time is None else time // SECOND_US for time in self._event_times()]

    def add_to(self, response: GetOnlineFeaturesResponse, *, versions: bool) -> None:
        """Add the features to Feast's message."""
        response.metadata.feature_names.val.extend(self.names)
        if versions and self.name not in [view.name for view in response.metadata.feature_view_metadata]:
            response.metadata.feature_view_metadata.add(name=self.name, version=self.version)
        times = [_timestamp(time) for time in self._event_times()]
        columns = zip(self.rows.types, self.rows.decoded.values, self.rows.statuses(), strict=True)
        for kind, values, statuses in columns:
            vector = {"values": to_protos(kind, values), "statuses": statuses, "event_timestamps": times}
            response.results.append(GetOnlineFeaturesResponse.FeatureVector(**vector))  # type: ignore[arg-type]

    def _event_times(self) -> Iterator[int | None]:
        decoded = self.rows.decoded
        for status, event in zip(decoded.view_status, decoded.event, strict=True):
            yield None if status == FeatureStatus.NOT_FOUND or event == MISSING else event


class ColumnsResponse(OnlineResponse):
    """A response of stored features alone. `proto` is made where it is first used."""

    def __init__(
        self,
        given: GetOnlineFeaturesResponse,
        views: Sequence[ViewColumns],
        returned: set[str],
        types: Callable[[], FeatureTypes],
        *,
        versions: bool,
    ) -> None:
        """`given` has the join keys and request inputs; columns that are not among `returned` are left out."""
        self._given, self._views, self._returned = given, views, returned
        self._types, self._versions = types, versions

    @cached_property
    def proto(self) -> GetOnlineFeaturesResponse:  # type: ignore[override]
        response = GetOnlineFeaturesResponse()
        response.CopyFrom(self._given)
        for view in self._views:
            view.add_to(response, versions=self._versions)
        _drop_unneeded_columns(response, self._returned)
        return response

    @cached_property
    def _feature_types(self) -> FeatureTypes:  # type: ignore[override]
        return self._types()

    def to_dict(self, include_event_timestamps: bool = False) -> dict[str, Any]:  # noqa: FBT001, FBT002 - Feast's signature
        """Columns by name, each with a value for every row."""
        columns: dict[str, Any] = {}
        features = {name for view in self._views for name in view.names}
        for name, vector in zip(self._given.metadata.feature_names.val, self._given.results, strict=True):
            if name in self._returned:
                feast_type = self._feature_types.get(name) if name in features else None
                columns[name] = [feast_value_type_to_python_type(value, feast_type) for value in vector.values]
                if include_event_timestamps:
                    columns[name + TIMESTAMP_POSTFIX] = [time.seconds for time in vector.event_timestamps]
        for view in self._views:
            for name, values in view.python_values(lambda: self._feature_types):
                if name in self._returned:
                    columns[name] = values
                    if include_event_timestamps:
                        columns[name + TIMESTAMP_POSTFIX] = view.event_seconds()
        return columns


def _timestamp(time: int | None) -> Timestamp:
    stamp = Timestamp()
    if time is not None:
        stamp.FromDatetime(from_micros(time))
    return stamp
