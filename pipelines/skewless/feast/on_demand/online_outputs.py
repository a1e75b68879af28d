"""The outputs of on-demand views in an online response.

Held by tests/feast/on_demand/test_visible_columns.py.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from feast import OnDemandFeatureView
from feast.protos.feast.serving.ServingService_pb2 import GetOnlineFeaturesResponse
from feast.utils import _augment_response_with_on_demand_transforms, _parse_feature_ref
from skewless.feast.on_demand.visible_columns import visible_columns


def add_outputs(
    response: GetOnlineFeaturesResponse,
    feature_refs: Sequence[str],
    views: Sequence[OnDemandFeatureView],
    join_keys: Mapping[str, Sequence[str]],
    types: Mapping[str, Any],
    *,
    full: bool,
) -> None:
    """Add the referenced outputs of the views, each computed from the columns that it sees."""
    for view in views:
        name = view.projection.name_alias or view.name
        refs = [ref for ref in feature_refs if _parse_feature_ref(ref)[0] == name]
        seen = _selected(response, visible_columns(view, join_keys))
        given = len(seen.results)
        # By short names: Feast gives outputs of its mode "python" no full ones.
        _augment_response_with_on_demand_transforms(seen, refs, [view], False, dict(types))  # noqa: FBT003
        prefix = f"{view.projection.name_to_use()}__" if full else ""
        response.metadata.feature_names.val.extend(prefix + name for name in seen.metadata.feature_names.val[given:])
        response.results.extend(seen.results[given:])


def _selected(response: GetOnlineFeaturesResponse, names: Collection[str]) -> GetOnlineFeaturesResponse:
    selected = GetOnlineFeaturesResponse()
    for name, vector in zip(response.metadata.feature_names.val, response.results, strict=True):
        if name in names:
            selected.metadata.feature_names.val.append(name)
            selected.results.append(vector)
    return selected
