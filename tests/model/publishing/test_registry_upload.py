"""Publishing where the registry is elsewhere: what is there is known first, and stays what it is."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from skewless.contract.model.bundle import MANIFEST
from skewless.model.publishing.registry_upload import publishing
from skewless.registry.model_registry import ModelRegistry
from skewless.runtime.errors import AlreadyPublished
from tests.models import tiny
from tests.services.s3 import BUCKET, S3, s3, s3_server

__all__ = ["s3", "s3_server"]


@pytest.fixture
def registry(s3: S3, tmp_path: Path) -> ModelRegistry:
    """Holds 1.0.0 and 1.1.0, as another machine published them."""
    found = ModelRegistry(f"s3://{BUCKET}/models?endpoint_override={s3.endpoint}", tmp_path / "mirror")
    for version in ("1.0.0", "1.1.0"):
        found.add(tiny.NAME, version, tiny.write_bundle(tmp_path / "theirs", version))
    return found


def test_the_newest_version_is_known_and_what_is_made_goes_there(registry: ModelRegistry, tmp_path: Path):
    with publishing(registry, tmp_path / "models", tiny.NAME) as models:
        assert [path.name for path in (models / tiny.NAME).iterdir()] == ["1.1.0"]
        tiny.write_bundle(models, "1.2.0")
    assert registry.versions(tiny.NAME) == ["1.0.0", "1.1.0", "1.2.0"]
    made = (tmp_path / "models" / tiny.NAME / "1.2.0" / MANIFEST).read_bytes()
    assert registry.file(tiny.NAME, "1.2.0", MANIFEST) == made
    assert registry.file(tiny.NAME, "1.2.0", "nothing") is None


def test_a_version_that_is_there_is_not_written_over(registry: ModelRegistry, tmp_path: Path):
    """Only the newest is known here, so nothing else keeps somebody from making another 1.0.0."""
    before = registry.seen(tiny.NAME, "1.0.0")
    with (
        pytest.raises(AlreadyPublished, match=r"tiny 1.0.0 is published and immutable"),
        publishing(registry, tmp_path / "models", tiny.NAME) as models,
    ):
        tiny.write_bundle(models, "1.0.0", weights=(0.5, 0.0, 0.0, 0.0, 0.0))
    assert registry.seen(tiny.NAME, "1.0.0") == before
    assert not (tmp_path / "models" / tiny.NAME / "1.0.0").exists()


def test_a_copy_that_was_cut_short_is_finished_by_the_next_publish(registry: ModelRegistry, tmp_path: Path):
    cut = tiny.write_bundle(tmp_path / "models", "1.2.0")
    half = tmp_path / "half"
    shutil.copytree(cut, half)
    (half / MANIFEST).unlink()
    registry.add(tiny.NAME, "1.2.0", half)
    with publishing(registry, tmp_path / "models", tiny.NAME):
        pass
    assert registry.file(tiny.NAME, "1.2.0", MANIFEST) == (cut / MANIFEST).read_bytes()
