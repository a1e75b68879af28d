"""What all settings have in common, held for the settings of each side."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from skewless.contract.errors import BadSetting
from skewless.runtime.settings import ProjectSettings
from skewless.server.settings import ServerSettings
from skewless.settings.environment_settings import EnvironmentSettings

SIDES = pytest.mark.parametrize("side", [EnvironmentSettings, ProjectSettings, ServerSettings])


@SIDES
def test_paths_are_absolute_and_start_at_the_working_folder(
    side: type[EnvironmentSettings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SKEWLESS_STATE", "deep/../s")
    monkeypatch.setenv("SKEWLESS_MODELS", "m")
    settings = side.read()
    assert (settings.state, settings.models) == (tmp_path / "s", tmp_path / "m")
    assert settings.redis_url == f"unix://{tmp_path}/s/redis/valkey.sock"


@SIDES
def test_a_registry_in_object_storage_is_left_as_it_is(side: type[EnvironmentSettings]):
    assert side.read(models="s3://bucket/models").models == "s3://bucket/models"


@SIDES
def test_a_refused_value_names_its_variable_and_hides_it(
    side: type[EnvironmentSettings], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SKEWLESS_REDIS_URL", "http://u:hidden@h")
    with pytest.raises(BadSetting, match=r"^SKEWLESS_REDIS_URL is set wrongly: its scheme is none of") as refused:
        side.read()
    assert "hidden" not in str(refused.value)


@SIDES
def test_settings_are_frozen_and_show_no_password(side: type[EnvironmentSettings], tmp_path: Path):
    settings = side(state=tmp_path, redis_url="redis://u:hidden@h/0")
    assert "redis://u:***@h/0" in repr(settings)
    with pytest.raises(ValidationError, match="frozen"):
        settings.state = tmp_path / "other"  # type: ignore[misc]


@SIDES
def test_every_setting_is_described(side: type[EnvironmentSettings]):
    assert all(field.description for field in side.model_fields.values())
