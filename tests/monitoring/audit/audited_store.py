"""The feature store's settings of an audited project."""

from __future__ import annotations

STORE = """
project: tests
provider: local
registry: {{registry_type: sql, path: "sqlite:///{folder}/registry.db"}}
offline_store: {{type: skewless.feast.SkewlessOfflineStore, data: "${{SKEWLESS_STATE}}/data"}}
online_store: {{type: sqlite, path: "{folder}/online.db"}}
entity_key_serialization_version: 3
"""
