from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest
from redis import Redis

from skewless.contract.errors import CorruptRow
from skewless.contract.state_folder import StateFolders
from skewless.contract.storage.lookup import HashLookup
from skewless.online.store import embedded_valkey
from skewless.server.errors import StoreUnavailable
from skewless.server.online_store.reader import OnlineStoreReader
from tests.models import tiny
from tests.models.tiny_rows import fill
from tests.services.predict_server import ROW, serving, settings_of
from tests.services.served_log_rows import logged
from tests.services.waiting import HANG_SECONDS, until


def read(url: str, *lookups: HashLookup, timeout_s: float = HANG_SECONDS) -> list[object]:
    async def once() -> list[object]:
        store = OnlineStoreReader(url, timeout_s=timeout_s)
        try:
            return list(await store.read(lookups))
        finally:
            await store.close()

    return asyncio.run(once())


def test_replies_come_in_order(redis_url: str):
    with Redis.from_url(redis_url) as client:
        client.hset("a", mapping={"x": b"1", "y": b"2"})
        client.hset("b", mapping={"x": b"3"})
    lookups = [HashLookup(b"b", (b"x", b"y")), HashLookup(b"none", (b"x",)), HashLookup(b"a", (b"y", b"x"))]
    assert read(redis_url, *lookups) == [[b"3", None], [None], [b"2", b"1"]]
    assert read(redis_url) == []


def test_a_key_of_another_kind_is_a_corrupt_row(redis_url: str):
    with Redis.from_url(redis_url) as client:
        client.set("a", "text")
    with pytest.raises(CorruptRow, match="'delays' of entity 61 is corrupt: its key holds something else"):
        read(redis_url, HashLookup(b"a", (b"delays",)))


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1", "redis+cluster://127.0.0.1:1", "unix:///nowhere/valkey.sock"])
def test_nobody_there(url: str):
    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        read(url, HashLookup(b"a", (b"x",)))


@pytest.mark.parametrize("url", ["redis://h:port", "redis://h/0?socket_timeout=soon"])
def test_a_url_that_is_none(url: str):
    with pytest.raises(StoreUnavailable, match="is no address"):
        read(url)


def test_a_silent_server_is_given_up_in_time():
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        pytest.raises(StoreUnavailable, match=r"did not answer within 0\.2 s"),
    ):
        read(f"redis://127.0.0.1:{listener.getsockname()[1]}", HashLookup(b"a", (b"x",)), timeout_s=0.2)


def test_a_server_that_starts_before_its_redis(state: Path, tmp_path: Path):
    folders = StateFolders(tmp_path / "late")
    with serving(settings_of(state, f"unix://{folders.redis_socket}")) as live:
        assert live.predict(ROW).status_code == 503
        with embedded_valkey.running(folders) as server:
            fill(server.url)
            until(lambda: live.predict(ROW).status_code == 200)


def test_redis_killed_and_back(state: Path, tmp_path: Path):
    """503 within the time limit while it is away; predictions again once it is back, without a restart."""
    folders = StateFolders(tmp_path / "killed")
    server = embedded_valkey.start(folders, persistent=False)
    try:
        fill(server.url)
        with serving(settings_of(state, server.url, redis_timeout_s=0.3)) as live:
            assert live.predict(ROW).status_code == 200
            embedded_valkey.stop(folders)
            answer = live.predict(ROW)
            assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
            assert answer.json()["type"] == "urn:skewless:problem:online-store-unavailable"
            assert live.client.get("/readyz").status_code == 503
            assert live.metric("skewless_store_failures_total") == 1
            fill(embedded_valkey.start(folders, persistent=False).url)
            until(lambda: live.predict(ROW).status_code == 200)
            # A check of the definitions may have seen the store half filled.
            until(lambda: live.client.get("/readyz").status_code == 200)
    finally:
        embedded_valkey.stop(folders)


def test_a_model_may_answer_with_defaults_while_redis_is_away(state: Path, tmp_path: Path):
    """Nothing is read then, the served log says so, and the first read after its return is used."""
    folders = StateFolders(tmp_path / "away")
    server = embedded_valkey.start(folders, persistent=False)
    models = state / "models"
    tiny.roll_out(models, on_store_failure="defaults")
    try:
        fill(server.url)
        with serving(settings_of(state, server.url, redis_timeout_s=0.3)) as live:
            with_features = live.score(ROW)["scores"]
            nobody = live.score({**ROW, "origin": "?", "tailnum": "?"})["scores"]
            embedded_valkey.stop(folders)
            assert live.score(ROW)["scores"] == nobody != with_features
            assert live.explain(ROW)["planes__age"]["status"] == "NOT_READ"
            assert live.metric("skewless_store_failures_total") == 2
            until(lambda: live.metric("skewless_served_log_written_rows_total") == 4)
            rows = sorted(logged(live.settings.served_log), key=lambda row: str(row["planes:status"]))
            assert [row["planes:status"] for row in rows] == [0, 2, 4, 4]
            tiny.roll_out(models, on_store_failure="reject")
            until(lambda: live.predict(ROW).status_code == 503)
            tiny.roll_out(models, on_store_failure="perhaps")
            until(lambda: "on_store_failure" in str(live.client.get("/readyz").json()["models"][tiny.NAME]["refused"]))
            fill(embedded_valkey.start(folders, persistent=False).url)
            until(lambda: live.predict(ROW).status_code == 200)
            assert live.score(ROW)["scores"] == with_features
    finally:
        embedded_valkey.stop(folders)
