from __future__ import annotations

from pathlib import Path

import pytest
import redis

from skewless.contract.redis_urls import known_redis_url
from skewless.contract.state_folder import StateFolders
from skewless.online.store import embedded_valkey
from skewless.project.migration.former_store import (
    KEPT,
    FormerRedis,
    FormerSecretMissing,
    FormerSqlite,
    FormerStoreUnknown,
    former_rows,
    former_store,
    literal_password,
)


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
    line, pushed = former_rows({"type": "sqlite", "path": "data/online.db"}, "shop")
    assert "the rows in sqlite (data/online.db) stay there and are not read" in line
    assert "`skewless import-feast` brings them" in pushed
    assert "the rows in dynamodb" in former_rows({"type": "dynamodb"}, "shop")[0]
    assert "the rows in sqlite stay" in former_rows({}, "shop")[0]


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("localhost:6379", "redis://localhost:6379/0"),
        ("cache", "redis://cache:6379/0"),
        ("cache:1, ssl=true, db=2, password=a=b", "rediss://cache:1/2"),
        ('cache:1,password="a=b"', "redis://cache:1/0"),
        ("db=3", "redis://localhost:6379/3"),
    ],
)
def test_a_connection_string_becomes_a_url(text: str, url: str):
    former = FormerRedis.parse(text)
    assert former.url == url
    assert former.options.get("password", "a=b") == "a=b"


@pytest.mark.parametrize(
    ("kind", "text", "url"),
    [
        ("redis", "a:1,db=2,password=p@:/", "redis://:p%40%3A%2F@a:1/2"),
        ("redis", "a:1,username=u,password=1,ssl=true,ssl_cert_reqs=none", "rediss://u:1@a:1/0?ssl_cert_reqs=none"),
        ("redis_cluster", "a:1,b:2,password=p", "redis+cluster://:p@a:1"),
        ("redis_sentinel", "a:1,b:2,ssl=true,db=1", "rediss+sentinel://a:1,b:2/main/1"),
    ],
)
def test_the_secret_url_is_what_our_client_takes(kind: str, text: str, url: str):
    former = FormerRedis.parse(text, kind, "main")
    assert former.secret_url == url
    assert known_redis_url(url) == url
    assert "@" not in former.url


@pytest.mark.parametrize(
    ("store", "expected"),
    [
        ("{type: redis, connection_string: 'a:1,db=2'}", "redis://a:1/2"),
        ("{type: redis, redis_type: redis_sentinel, connection_string: 'a:1'}", "redis+sentinel://a:1/mymaster/0"),
        ("{type: sqlite, path: online.db}", "online.db"),
        ("{type: sqlite}", "data/online.db"),
        ("sqlite", "data/online.db"),
        ("null", "data/online.db"),
    ],
)
def test_the_kept_file_names_the_store(tmp_path: Path, store: str, expected: str):
    (tmp_path / KEPT).write_text(f"project: shop\nonline_store: {store}\n")
    former = former_store(tmp_path)
    if isinstance(former, FormerSqlite):
        assert former.path == tmp_path / expected
    else:
        assert former.secret_url == expected


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("online_store: {type: dynamodb}", "is dynamodb, which is not read here"),
        ("a: [", "is no feature_store.yaml"),
        ("online_store: {type: redis, connection_string: 'a:b'}", "a port that is no number"),
    ],
)
def test_a_store_that_is_not_read_is_refused_with_the_mend(tmp_path: Path, content: str, says: str):
    (tmp_path / KEPT).write_text(content)
    with pytest.raises(FormerStoreUnknown, match=says) as refused:
        former_store(tmp_path)
    assert "host:port,db=0,password=${REDIS_PASSWORD}" in str(refused.value)


def test_a_text_names_a_redis_or_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert isinstance(former_store(tmp_path, "a:1"), FormerRedis)
    assert former_store(tmp_path, "/x/online.db") == FormerSqlite(Path("/x/online.db"))
    monkeypatch.setenv("SHOP_PASSWORD", "s3cret")
    former = former_store(tmp_path, "a:1,password=$SHOP_PASSWORD")
    assert isinstance(former, FormerRedis)
    assert former.secret_url == "redis://:s3cret@a:1/0"
    with pytest.raises(FormerSecretMissing, match="OTHER"):
        former_store(tmp_path, "a:1,password=${OTHER}")
    assert literal_password("a:1, password=x")
    assert not literal_password("a:1,password=${X}")
