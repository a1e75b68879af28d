"""Settings of a server that cost memory or rows are told."""

from __future__ import annotations

from contextlib import closing

import pytest
from redis import Redis

from skewless.contract.state_folder import StateFolders
from skewless.online.maintenance.redis_config import setting_warnings, warnings
from skewless.online.store import embedded_valkey
from skewless.online.store.connection import connect

FINE = {
    "hash-max-listpack-value": "1024",
    "maxmemory": "0",
    "maxmemory-policy": "noeviction",
    "appendonly": "yes",
    "save": "",
}


def test_a_server_as_we_start_it_is_fine(tmp_path):
    with (
        embedded_valkey.running(StateFolders(tmp_path), persistent=True) as server,
        closing(connect(server.url)) as client,
    ):
        assert warnings(client) == []
        client.config_set("hash-max-listpack-value", 64)
        client.config_set("appendonly", "no")
        client.config_set("maxmemory-policy", "allkeys-lru")
        assert [line.split(" ")[0] for line in warnings(client)] == [
            "hash-max-listpack-value",
            "maxmemory-policy",
            "persistence",
        ]


@pytest.mark.parametrize(
    ("setting", "value", "word"),
    [
        ("hash-max-listpack-value", "1023", "compact"),
        ("maxmemory-policy", "volatile-ttl", "noeviction"),
        ("appendonly", "no", "persistence"),
    ],
)
def test_each_setting_is_named(setting: str, value: str, word: str):
    (line,) = setting_warnings(FINE | {setting: value})
    assert word in line
    assert setting_warnings(FINE) == []
    assert setting_warnings(dict.fromkeys(FINE) | {"save": "3600 1"}) == []


def test_a_server_that_does_not_tell(redis_url: str):
    with Redis.from_url(redis_url) as admin:
        admin.execute_command("ACL", "SETUSER", "shy", "on", ">pw", "~*", "+@all", "-config")
        try:
            with Redis(unix_socket_path=redis_url.removeprefix("unix://"), username="shy", password="pw") as client:
                (line,) = warnings(client)
        finally:
            admin.execute_command("ACL", "DELUSER", "shy")
    assert "does not allow CONFIG GET" in line
