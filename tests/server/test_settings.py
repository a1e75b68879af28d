from __future__ import annotations

from pathlib import Path

import pytest

from skewless.contract.errors import BadSetting
from skewless.runtime.settings import ProjectSettings as OfflineSettings
from skewless.server.settings import ServerSettings


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "feature_repo").mkdir()
    (tmp_path / "feature_repo" / "feature_store.yaml").touch()
    (tmp_path / "deep").mkdir()
    monkeypatch.chdir(tmp_path / "deep")
    return tmp_path


def test_the_defaults_agree_with_the_pipelines(project: Path):
    settings, offline = ServerSettings.read(), OfflineSettings.read()
    assert settings.state == offline.state == project / ".skewless"
    assert settings.redis_url == offline.redis_url
    assert settings.models == offline.folders.models
    assert settings.served_log == offline.folders.served


def test_the_environment_is_read_and_an_argument_goes_before_it(project: Path, monkeypatch: pytest.MonkeyPatch):
    for name, value in {
        "STATE": "s",
        "PORT": "99",
        "WORKERS": "3",
        "ALLOW_AS_OF": "true",
        "HOST": "",
    }.items():
        monkeypatch.setenv(f"SKEWLESS_{name}", value)
    settings = ServerSettings.read(port=100)
    assert (settings.state, settings.models) == (project / "deep" / "s", project / "deep" / "s" / "models")
    assert (settings.port, settings.workers, settings.allow_as_of) == (100, 3, True)
    assert settings.host == "127.0.0.1"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "eighty"),
        ("PORT", "70000"),
        ("REDIS_URL", "http://u:hidden@h"),
        ("LOG_LEVEL", "loud"),
        ("WORKERS", "0"),
    ],
)
def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str):
    monkeypatch.setenv(f"SKEWLESS_{name}", value)
    with pytest.raises(BadSetting, match=f"^SKEWLESS_{name} is set wrongly: ") as raised:
        ServerSettings.read()
    assert "hidden" not in str(raised.value)


def test_passwords_are_not_shown():
    url = "rediss://user:hidden@host:1/0?password=hidden"
    shown = repr(ServerSettings(state=Path("/s"), redis_url=url))
    assert "hidden" not in shown
    assert "rediss://user:***@host:1/0" in shown
