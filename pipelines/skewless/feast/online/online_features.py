"""One online retrieval of Feast's SDK: stored features, then the outputs of on-demand views.

Held by tests/feast/on_demand/test_visible_columns.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from feast import FeatureService, FeatureView
from feast.infra.registry.base_registry import BaseRegistry
from feast.online_response import OnlineResponse
from feast.protos.feast.types.Value_pb2 import Value
from feast.utils import _drop_unneeded_columns, _prepare_entities_to_read_from_online_store
from skewless.feast.errors import PRECOMPUTED_VECTORS, FeastUnsupported
from skewless.feast.on_demand.online_outputs import add_outputs
from skewless.feast.online.online_response import ColumnsResponse, ViewColumns

Grouped = list[tuple[FeatureView, list[str]]]
"""Feature views, each with its features that are read."""
ReadViews = Callable[[Grouped, dict[str, list[Value]], dict[str, str]], list[ViewColumns]]
"""Reads the features of views, for join-key values by name and join keys by entity."""


@dataclass(frozen=True, slots=True)
class OnlineRetrieval:
    """What a caller of `get_online_features` asks for. `rows` are entity rows, or columns by name. With `full`, features have
    the names of their views before their own; with `versions`, the response says the version of each view.
    """

    features: list[str] | FeatureService
    rows: list[dict[str, Any]] | Mapping[str, Any]
    full: bool
    versions: bool

    def run(
        self, registry: BaseRegistry, project: str, read: ReadViews, types_of: Callable[[Grouped], dict[str, Any]]
    ) -> OnlineResponse:
        """The response. A join key that is a request input too is given once, for both.

        Raises: FeastUnsupported, what `read` raises, and Feast's own on features, entities and request inputs that are missing.
        """
        keys, grouped, keys_of_entities, on_demand, refs, returned, response = (
            _prepare_entities_to_read_from_online_store(
                registry, project, self.features, self._columns(), self.full, native_entity_values=True
            )
        )
        if getattr(self.features, "precompute_online", False) and not on_demand:
            raise FeastUnsupported(*PRECOMPUTED_VECTORS)
        join_keys = {table.projection.name_to_use(): _join_keys(table) for table, _ in grouped}
        shared = {name for names in join_keys.values() for name in names} - keys.keys()
        if shared:
            for name, vector in zip(response.metadata.feature_names.val, response.results, strict=True):
                if name in shared:
                    keys[name] = list(vector.values)
                    returned.add(name)
        views = read(grouped, keys, keys_of_entities)
        if not on_demand:
            return ColumnsResponse(response, views, returned, lambda: types_of(grouped), versions=self.versions)
        for view in views:
            view.add_to(response, versions=self.versions)
        types = types_of(grouped)
        add_outputs(response, refs, on_demand, join_keys, types, full=self.full)
        _drop_unneeded_columns(response, returned)
        return OnlineResponse(response, feature_types=types)

    def _columns(self) -> Mapping[str, Any]:
        """Raises: ValueError (Feast's own) where rows have different names."""
        if not isinstance(self.rows, list):
            return self.rows
        names = self.rows[0].keys()
        if any(row.keys() != names for row in self.rows):
            raise ValueError("All entity_rows must have the same keys.")
        return {name: [row[name] for row in self.rows] for name in names}


def _join_keys(table: FeatureView) -> list[str]:
    """The join keys of a view by the names that its projection gives them."""
    aliases = table.projection.join_key_map or {}
    return [aliases.get(column.name, column.name) for column in table.entity_columns]
