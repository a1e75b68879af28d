"""Where a feature_store.yaml says that its registry is."""

from __future__ import annotations

from pathlib import Path

import pytest

from skewless.runtime.settings import ProjectSettings
from skewless.runtime.store_file import BadStoreFile, described_registry


@pytest.mark.parametrize(
    ("registry", "described"),
    [
        ("data/registry.db", "{repo}/data/registry.db"),
        ("{path: data/registry.db, cache_ttl_seconds: 5}", "{repo}/data/registry.db"),
        ("{registry_type: sql, path: 'postgresql://me:s3cret@db/feast'}", "postgresql://me:***@db/feast"),
        (
            "{registry_type: sql, path: 'sqlite:///registry.db?plugin=skewless'}",
            "sqlite:///{repo}/.skewless/registry.db",
        ),
        ("{registry_type: snowflake}", "as {repo}/feature_store.yaml says"),
    ],
)
def test_the_registry_is_described_as_the_definitions_use_it(tmp_path: Path, registry: str, described: str):
    (tmp_path / "feature_store.yaml").write_text(f"project: a\nregistry: {registry}\n")
    assert described_registry(ProjectSettings.of(tmp_path)) == described.format(repo=tmp_path)
    (tmp_path / "feature_store.yaml").write_text("project: [")
    with pytest.raises(BadStoreFile, match="cannot be read"):
        described_registry(ProjectSettings.of(tmp_path))
