from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest
from redis import Redis

from skewless.contract.errors import CorruptRow
from skewless.contract.state_folder import StateFolders
from skewless.contract.storage.lookup import HashLookup
from skewless.online.store import embedded_valkey
from skewless.server.errors import StoreUnavailable
from skewless.server.online_store.connection import HandshakeRefused, ReconnectingClient, RedisAddress, command
from skewless.server.online_store.reader import OnlineStoreReader
from tests.services.waiting import HANG_SECONDS, run_in_virtual_time

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
PING = command("PING")


@asynccontextmanager
async def listening(serve: Serve) -> AsyncIterator[str]:
    writers = []

    async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        await serve(reader, writer)

    server = await asyncio.start_server(served, "127.0.0.1", 0)
    try:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for writer in writers:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


def test_many_ask_at_once_and_each_gets_its_own(redis_url: str):
    with Redis.from_url(redis_url) as client:
        for i in range(200):
            client.hset(f"k{i}", "x", str(i))

    async def ask() -> None:
        store = OnlineStoreReader(redis_url, timeout_s=HANG_SECONDS)
        lookups = [[HashLookup(b"k%d" % ((i + j) % 200), (b"x",)) for j in range(i % 7 + 1)] for i in range(200)]
        found = await asyncio.gather(*[store.read(some) for some in lookups])
        for i, replies in enumerate(found):
            assert replies == [[b"%d" % ((i + j) % 200)] for j in range(i % 7 + 1)]
        await store.close()

    asyncio.run(ask())
    with Redis.from_url(redis_url) as client:
        assert len(client.client_list()) <= 3


def test_an_error_of_one_key_is_the_error_of_its_request_only(redis_url: str):
    with Redis.from_url(redis_url) as client:
        client.set("text", "x")
        client.hset("hash", "x", "1")

    async def ask() -> None:
        store = OnlineStoreReader(redis_url, timeout_s=HANG_SECONDS)
        good, bad = [HashLookup(b"hash", (b"x",))], [HashLookup(b"hash", (b"x",)), HashLookup(b"text", (b"x",))]
        found = await asyncio.gather(*[store.read(bad if i % 2 else good) for i in range(20)], return_exceptions=True)
        assert all(isinstance(one, CorruptRow) if i % 2 else one == [[b"1"]] for i, one in enumerate(found))
        await store.close()

    asyncio.run(ask())


def test_another_error_names_view_and_entity():
    async def busy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\nv\r\n")
        writer.write(b"-LOADING Redis is loading the dataset in memory\r\n")

    async def ask() -> None:
        async with listening(busy) as url:
            store = OnlineStoreReader(url, timeout_s=HANG_SECONDS)
            with pytest.raises(StoreUnavailable, match=r"feature view 'v' of entity 6b: LOADING;"):
                await store.read([HashLookup(b"k", (b"v",))])
            await store.close()

    asyncio.run(ask())


def test_a_late_answer_is_dropped_and_the_next_one_is_asked_elsewhere():
    """The first connection answers only after the limit, then all others at once."""
    seen, overdue, answered = [], asyncio.Event(), asyncio.Event()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(writer)
        first = len(seen) == 1
        await reader.readuntil(PING)
        if first:
            await overdue.wait()
        writer.write(b"+LATE\r\n" if first else b"+PONG\r\n")
        if first:
            answered.set()
        await reader.readuntil(PING)
        writer.write(b"+PONG\r\n")

    async def ask() -> None:
        async with listening(slow) as url:
            one = ReconnectingClient(RedisAddress.parse(url), HANG_SECONDS)
            # Of this connection alone, so that the time to open one counts for nothing.
            (await one._usable_link())._timeout = 0.01
            with pytest.raises(TimeoutError):
                await one.execute(PING, 1)
            overdue.set()
            assert await one.execute(PING, 1) == [b"PONG"]
            await answered.wait()
            assert await one.execute(PING, 1) == [b"PONG"]
            one.close()

    asyncio.run(ask())


def test_a_read_that_a_dying_connection_leaves_is_asked_again():
    seen = []

    async def dying(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(writer)
        await reader.readuntil(PING)
        if len(seen) > 1:
            writer.write(b"+PONG\r\n")
        else:
            writer.close()

    async def ask() -> None:
        async with listening(dying) as url:
            one = ReconnectingClient(RedisAddress.parse(url), HANG_SECONDS)
            assert await one.execute(PING, 1) == [b"PONG"]
            one.close()

    asyncio.run(ask())


def test_what_is_no_redis_is_given_up():
    async def web(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(PING)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async def ask() -> None:
        async with listening(web) as url:
            one = ReconnectingClient(RedisAddress.parse(url), 0.5)
            with pytest.raises(OSError):
                await one.execute(PING, 1)

    asyncio.run(ask())


def test_a_server_that_is_gone_is_not_tried_for_each_request(monkeypatch: pytest.MonkeyPatch):
    """After a failure for 20 ms, then for twice as long each time; by the loop's clock."""
    tries = []

    async def refused(one: ReconnectingClient) -> None:
        tries.append(round(asyncio.get_running_loop().time(), 3))
        raise ConnectionRefusedError

    monkeypatch.setattr(ReconnectingClient, "_open", refused)

    async def ask() -> None:
        one = ReconnectingClient(RedisAddress.parse("redis://127.0.0.1:1"), 0.5)
        for _ in range(100):
            with pytest.raises(ConnectionRefusedError):
                await one.execute(PING, 1)
            await asyncio.sleep(0.002)
        assert tries == pytest.approx([0.0, 0.02, 0.06, 0.14], abs=0.0041)

    run_in_virtual_time(ask())


def test_a_password_and_a_database(tmp_path):
    with (
        embedded_valkey.running(StateFolders(tmp_path), port=embedded_valkey.FREE_PORT) as server,
        Redis.from_url(server.url) as client,
    ):
        client.config_set("requirepass", "se:cret")
        with Redis.from_url(server.url, password="se:cret", db=3) as third:
            third.hset("k", "x", "3")

        async def read(url: str) -> object:
            store = OnlineStoreReader(url, timeout_s=HANG_SECONDS)
            try:
                return await store.read([HashLookup(b"k", (b"x",))])
            finally:
                await store.close()

        plain = server.url.split("://", 1)[1].rstrip("/")
        assert asyncio.run(read(f"redis://:se%3Acret@{plain}/3")) == [[b"3"]]
        with pytest.raises(StoreUnavailable, match="refuses: WRONGPASS"):
            asyncio.run(read(f"redis://:other@{plain}"))
        with pytest.raises(StoreUnavailable, match="NOAUTH"):
            asyncio.run(read(server.url))


def test_an_address_is_read_as_redis_py_reads_it():
    address = RedisAddress.parse("rediss://user:p%40ss@host:7000/2?ssl_cert_reqs=none")
    assert (address.host, address.port, address.path) == ("host", 7000, "")
    assert address.ssl is not None
    assert address.handshake == (command("AUTH", "user", "p@ss"), command("SELECT", "2"))
    assert issubclass(HandshakeRefused, Exception)
