from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from skewless.contract.errors import BadSetting
from skewless.runtime.settings import ProjectSettings


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "feature_repo").mkdir()
    (tmp_path / "feature_repo/feature_store.yaml").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_defaults_lie_in_the_state_folder(project: Path):
    settings = ProjectSettings.read()
    assert settings.state == settings.folders.root == project / ".skewless"
    assert settings.redis_url == f"unix://{settings.folders.redis_socket}"
    assert settings.registry_url == f"sqlite:///{project}/.skewless/registry.db"
    assert settings.state_url == f"sqlite:///{project}/.skewless/state.db"
    assert settings.feature_repo == project / "feature_repo"
    assert settings.embedded
    assert settings.placed


def test_a_moved_state_folder_moves_the_rest_but_not_the_definitions(project: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SKEWLESS_STATE", "elsewhere")
    settings = ProjectSettings.read()
    assert settings.state == project / "elsewhere"
    assert settings.registry_url == f"sqlite:///{project}/elsewhere/registry.db"
    assert settings.feature_repo == project / "feature_repo"


def test_outside_of_a_project_nothing_is_placed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert not ProjectSettings.read().placed
    assert ProjectSettings(state=tmp_path).placed


def test_everything_can_be_set(project: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SKEWLESS_REDIS_URL", "rediss://u:p@host:6380/1")
    monkeypatch.setenv("SKEWLESS_REGISTRY_URL", "postgresql://u:p@host/db")
    monkeypatch.setenv("SKEWLESS_STATE_URL", "postgres://u:p@host/db")
    monkeypatch.setenv("SKEWLESS_FEATURE_REPO", "../defs")
    monkeypatch.setenv("SKEWLESS_JOIN_MEMORY", "2GiB")
    settings = ProjectSettings.read()
    assert settings.join_memory == 2 << 30
    assert settings.redis_url == "rediss://u:p@host:6380/1"
    assert not settings.embedded
    assert settings.registry_url == settings.state_url == "postgresql+psycopg://u:p@host/db"
    assert settings.feature_repo == project.parent / "defs"


def test_an_empty_variable_is_an_unset_one(project: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SKEWLESS_STATE", "")
    monkeypatch.setenv("SKEWLESS_REDIS_URL", "")
    assert ProjectSettings.read() == ProjectSettings(state=project / ".skewless")
    assert ProjectSettings.read().embedded


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("SKEWLESS_REDIS_URL", "localhost:6379"),
        ("SKEWLESS_REDIS_URL", "memcached://x:hidden@y"),
        ("SKEWLESS_REGISTRY_URL", "registry.db"),
        ("SKEWLESS_REGISTRY_URL", "mysql://x:hidden@y/z"),
        ("SKEWLESS_STATE_URL", "sqlite"),
        ("SKEWLESS_STATE", "feature_repo/feature_store.yaml"),
    ],
)
def test_a_bad_value_names_its_variable_and_shows_no_password(
    project: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
):
    monkeypatch.setenv(variable, value)
    with pytest.raises(BadSetting) as refused:
        ProjectSettings.read()
    assert refused.value.variable == variable
    assert "hidden" not in str(refused.value)
    assert str(pickle.loads(pickle.dumps(refused.value))) == str(refused.value)


def test_the_settings_shown_hide_passwords(tmp_path: Path):
    settings = ProjectSettings(state=tmp_path, redis_url="redis://:hidden@h", state_url="postgresql://u:hidden@h/d")
    assert "hidden" not in f"{settings!r} {settings}"
    assert "***" in repr(settings)


def test_paths_with_strange_characters_survive_the_urls(tmp_path: Path):
    from redis.connection import parse_url
    from sqlalchemy import make_url

    settings = ProjectSettings(state=tmp_path / "a b?c#d%20e")
    assert make_url(settings.state_url).database == str(settings.folders.state_db)
    assert parse_url(settings.redis_url)["path"] == str(settings.folders.redis_socket)
