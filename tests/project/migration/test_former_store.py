from __future__ import annotations

from pathlib import Path

import pytest
import redis

from skewless.contract.state_folder import StateFolders
from skewless.online.store import embedded_valkey
from skewless.project.migration.former_store import FormerRedis, former_rows


def test_the_keys_of_the_project_are_counted(tmp_path: Path):
    with embedded_valkey.running(StateFolders(tmp_path), port=0) as server, redis.Redis.from_url(server.url) as client:
        for key in (b"\x01driver_1shop", b"\x01driver_2shop", b"\x01driver_1other"):
            client.hset(key, "_ts:view", 1)
        place = server.url.removeprefix("redis://").partition("/")[0]
        lines = former_rows({"type": "redis", "connection_string": f"{place},db=0"}, "shop")
    assert f"{place} has 2 keys of project shop" in lines[0]
    assert f"export SKEWLESS_REDIS_URL=redis://{place}/0," in lines[-1]


def test_a_server_that_is_down_is_told_without_its_password(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SHOP_PASSWORD", "s3cret")
    store = {"type": "redis", "connection_string": "127.0.0.1:9,password=${SHOP_PASSWORD}"}
    (line,) = former_rows(store, "shop")
    assert "does not answer (ConnectionError)" in line
    assert "s3cret" not in line


def test_another_store_is_named():
    (line,) = former_rows({"type": "sqlite", "path": "data/online.db"}, "shop")
    assert "the rows in sqlite (data/online.db) stay there and are not read" in line
    assert "the rows in dynamodb" in former_rows({"type": "dynamodb"}, "shop")[0]
    assert "the rows in sqlite stay" in former_rows({}, "shop")[0]


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("localhost:6379", "redis://localhost:6379/0"),
        ("cache", "redis://cache:6379/0"),
        ("cache:1, ssl=true, db=2, password=a=b", "rediss://cache:1/2"),
    ],
)
def test_a_connection_string_becomes_a_url(text: str, url: str):
    former = FormerRedis.parse(text)
    assert former.url == url
    assert former.options.get("password", "a=b") == "a=b"
