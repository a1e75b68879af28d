"""The columns that an on-demand view sees, offline and online: those of its own sources, and nothing that a caller happens
to ask for beside it.

Held by tests/feast/on_demand/test_visible_columns.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from feast import OnDemandFeatureView


def visible_columns(view: OnDemandFeatureView, join_keys: Mapping[str, Iterable[str]]) -> frozenset[str]:
    """The features of its source views by short and full name, their join keys, and its request inputs.

    `join_keys` are those of all views by the names that they have here.
    """
    names = {field.name for source in view.source_request_sources.values() for field in source.schema}
    for projection in view.source_feature_view_projections.values():
        name = projection.name_to_use()
        names |= {field.name for field in projection.features}
        names |= {f"{name}__{field.name}" for field in projection.features}
        names |= set(join_keys.get(name, ()))
    return frozenset(names)
