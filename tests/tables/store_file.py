"""The `feature_store.yaml` of a project on our three stores, with its registry in the state folder."""

from __future__ import annotations


def store_file(project: str, *, known_by: str | None = None) -> str:
    """The file's text; `known_by` is the store's default, and Feast's own meaning where it is None."""
    tag = f", known_by: {known_by}" if known_by else ""
    return f"""
project: {project}
provider: local
registry: {{registry_type: sql, path: "sqlite:///registry.db?plugin=skewless"}}
offline_store: {{type: skewless.feast.SkewlessOfflineStore{tag}}}
online_store: {{type: skewless.feast.SkewlessOnlineStore}}
batch_engine: {{type: skewless.feast.SkewlessEngine}}
entity_key_serialization_version: 3
"""
