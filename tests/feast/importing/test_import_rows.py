"""Rows that only Feast's own stores hold, written by Feast itself, brought to ours."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pyarrow.compute as pc
import pytest
from feast.infra.online_stores.helpers import _mmh3
from feast.protos.feast.types.Value_pb2 import Value
from redis import Redis

from skewless.contract.state_folder import StateFolders
from skewless.contract.storage.entity_key import EntityKeyEncoder
from skewless.feast.importing.former_rows import FeastKeyParser, FormerStoreUnreachable
from skewless.feast.importing.redis_layout import FeastRedisRows
from skewless.files import table_parts
from skewless.online.push import push
from skewless.online.store import embedded_valkey
from skewless.online.store.store import SyncOnlineStore
from skewless.project.migration.former_store import FormerSecretMissing, FormerStoreUnknown
from skewless.sdk import BadArgument, ImportedFeastRows, Project
from tests.feast.importing.former_repository import HOUR, NOW, REDIS, SQLITE, FormerRepository, drivers, pairs, values
from tests.services.serve_process import SKEWLESS
from tests.services.waiting import until

IDS = range(1, 9)
# Feast warns of the old version, which it writes all the same.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Serialization of entity key"),
    pytest.mark.filterwarnings("ignore:The serialization version below 3"),
]


class Killed(BaseException):
    """As a kill: nothing after it is done."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Redis with a port: Feast's connection strings have no sockets."""
    with embedded_valkey.running(StateFolders(tmp_path_factory.mktemp("former")), port=0) as running:
        yield running.url


@pytest.fixture(params=["redis-2", "redis-3", "sqlite-3"])
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def repository(kind: str, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FormerRepository:
    """On Feast's stores: three rows of the table online, then pushed rows."""
    with Redis.from_url(server) as client:
        client.flushall()
    monkeypatch.setenv("SKEWLESS_REDIS_URL", server)
    monkeypatch.setenv("SKEWLESS_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("FORMER_PASSWORD", "")
    folder = tmp_path / "repo"
    folder.mkdir()
    store, version = kind.split("-")
    place = server.removeprefix("redis://").partition("/")[0]
    return FormerRepository(folder, int(version), REDIS.format(place=place) if store == "redis" else SQLITE)


def served_by_feast(repository: FormerRepository) -> dict[str, list[object]]:
    """Feast's answers before the move: 1 to 4 from the table, 5 and 6 only pushed, 2 pushed newer than the table, 7 unknown."""
    repository.write_table("drivers", drivers([1, 2, 3, 4], NOW - 10 * HOUR, NOW - 9 * HOUR))
    repository.write_table("pairs", pairs([1, 2], NOW - 10 * HOUR))
    store = repository.make()
    store.materialize(NOW - 20 * HOUR, NOW)
    store.write_to_online_store("drivers", drivers([5, 6], NOW - 5 * HOUR, NOW - 5 * HOUR, rate=0.3))
    store.write_to_online_store("drivers", drivers([2], NOW - 4 * HOUR, NOW - 4 * HOUR, rate=7))
    store.write_to_online_store("pairs", pairs([5, 2], NOW - 3 * HOUR))
    return values(store, IDS)


def imported(repository: FormerRepository, **options: object) -> ImportedFeastRows:
    with Project.open(repository.folder, progress=False) as project:
        return project.import_feast(**options)  # type: ignore[arg-type]


def counts(done: ImportedFeastRows) -> dict[str, tuple[int, int, int]]:
    return {view.view: (view.imported, view.known, view.older) for view in done.result.views}


def test_what_was_only_pushed_is_served_and_trained_on_after_the_move(repository: FormerRepository):
    before = served_by_feast(repository)
    repository.move()
    dry = imported(repository, dry_run=True)
    assert counts(dry) == {"drivers": (3, 3, 0), "pairs": (2, 1, 0)}
    assert "5 rows would be imported" in str(dry)
    assert repository.parts("drivers") is None

    done = imported(repository)
    assert counts(done) == counts(dry)
    assert "5 rows imported, 9 read back equal" in str(done)
    store = repository.feast()
    assert values(store, IDS) == before
    rows = repository.parts("drivers")
    assert sorted(rows["driver_id"].to_pylist()) == [2, 5, 6]
    assert pc.min(rows["created"]).as_py() >= NOW, "what was trained before does not change"
    assert repository.parts("pairs").column_names == ["driver_id", "zone", "rides", "event_timestamp"]

    again = imported(repository)
    assert counts(again) == {"drivers": (0, 6, 0), "pairs": (0, 3, 0)}
    assert again.clean
    assert repository.parts("drivers").num_rows == 3
    with Project.open(repository.folder, progress=False) as project:
        project.materialize()
        assert project.housekeeping.verify().clean
    assert values(store, IDS) == before


def test_a_row_that_is_older_than_the_tables_or_corrected_there_changes_nothing(repository: FormerRepository):
    served_by_feast(repository)
    newer = drivers([1, 5], NOW - HOUR, NOW - HOUR, rate=100)
    corrected = drivers([6], NOW - 5 * HOUR, NOW - 2 * HOUR, rate=200)
    repository.write_table("drivers", drivers([3, 4], NOW - 10 * HOUR, NOW - 9 * HOUR))
    (repository.folder / "drivers.parquet.parts").mkdir()
    for number, frame in enumerate((newer, corrected)):
        repository.write_table(f"drivers.parquet.parts/pushed-{number}", frame)
    repository.move()
    done = imported(repository, remove=True)
    (view,) = [view for view in done.result.views if view.view == "drivers"]
    assert (view.imported, view.known, view.older, view.corrected) == (1, 2, 2, 1)
    assert "corrected: 1 have the time of the table's row and other values" in str(done)
    with Project.open(repository.folder, progress=False) as project:
        project.materialize()
    online = values(repository.feast(), IDS)
    assert online["rate"][0] == 100.125
    assert online["rate"][5] == 200.75
    assert view.removed == 5, "the corrected row is neither imported nor older, so it stays"


def test_removing_leaves_our_rows_and_what_was_not_imported(repository: FormerRepository, kind: str, server: str):
    before = served_by_feast(repository)
    repository.move()
    done = imported(repository, remove=True)
    assert "9 removed from there" in str(done)
    assert values(repository.feast(), IDS) == before
    again = imported(repository, remove=True)
    assert counts(again) == {"drivers": (0, 0, 0), "pairs": (0, 0, 0)}
    assert repository.parts("drivers").num_rows == 3
    if kind.startswith("redis"):
        with Redis.from_url(server) as client:
            fields = [field for key in client.scan_iter(_type="HASH") for field in client.hkeys(key)]
        assert not [field for field in fields if field.startswith(b"_ts:")]
        assert {b"drivers", b"pairs"} <= set(fields)
    else:
        with sqlite3.connect(repository.folder / "online.db") as database:
            assert database.execute("SELECT count(*) FROM cabs_drivers").fetchone() == (0,)


@pytest.mark.parametrize("kind", ["redis-2", "redis-3"])
def test_what_cannot_be_brought_is_counted_and_stays(repository: FormerRepository, server: str):
    served_by_feast(repository)
    keys = EntityKeyEncoder("cabs", ["driver_id"], ["Int64"])
    trips, hashes = _mmh3("drivers:trips"), {}
    with Redis.from_url(server) as client:
        (five,) = [key for key in client.scan_iter(_type="HASH") if _number(key) == 5 and b"zone" not in key]
        hashes = client.hgetall(five)
        client.hset(keys.encode([90]), mapping={trips: Value(int64_val=1).SerializeToString()})  # no time
        client.hset(keys.encode([91]), mapping=hashes | {trips: Value(string_val="x").SerializeToString()})
        client.hset(keys.encode([92]), mapping={b"_ts:gone": hashes[b"_ts:drivers"], _mmh3("gone:a"): b""})
        client.hset(keys.encode([93]), mapping={b"_ts:drivers": hashes[b"_ts:drivers"]})  # no value
        client.hset(keys.encode([94]), mapping=hashes | {b"_ts:drivers": b"\xff"})
        client.hset(b"rubbish cabs", mapping=hashes)
        client.hset(EntityKeyEncoder("taxicabs", ["driver_id"], ["Int64"]).encode([95]), mapping=hashes)
        client.hset("a hash of others cabs", "field", 1)
        client.set("a text of cabs", 1)
    repository.move()
    done = imported(repository, remove=True)
    printed = str(done)
    assert "not dated: 2 have no event time" in printed
    assert "not held: 1 have values that trips does not hold" in printed
    assert "no values: 1 have none of the features" in printed
    assert "not decoded: 1 have keys" in printed
    assert "gone: 1 rows, not imported: the registry has no such online feature view" in printed
    assert counts(done)["drivers"] == (3, 3, 0)
    with Redis.from_url(server) as client:
        assert all(client.exists(keys.encode([number])) for number in range(90, 95))
        assert client.exists(b"rubbish cabs", "a hash of others cabs", "a text of cabs") == 3
        assert client.exists(EntityKeyEncoder("taxicabs", ["driver_id"], ["Int64"]).encode([95]))


def _number(key: bytes) -> int:
    return int.from_bytes(key[: -len(b"cabs")][-8:], "little")


@pytest.mark.parametrize("kind", ["redis-2"])
@pytest.mark.parametrize("at", ["part", "online", "read", "remove"])
def test_a_killed_import_is_completed_by_the_next(
    repository: FormerRepository, monkeypatch: pytest.MonkeyPatch, at: str
):
    before = served_by_feast(repository)
    repository.move()

    def killed(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        match at:
            case "part":
                patched.setattr(table_parts, "write_file", killed)
            case "online":
                patched.setattr(push, "_write", killed)
            case "read":
                patched.setattr(SyncOnlineStore, "stored_rows", killed)
            case "remove":
                patched.setattr(FeastRedisRows, "remove", killed)
        with pytest.raises(Killed):
            imported(repository, remove=True)
    done = imported(repository, remove=True)
    assert done.clean
    assert repository.parts("drivers").num_rows == 3
    assert values(repository.feast(), IDS) == before
    assert counts(imported(repository)) == {"drivers": (0, 0, 0), "pairs": (0, 0, 0)}


@pytest.mark.parametrize("kind", ["redis-3"])
def test_a_process_that_is_killed_leaves_no_row_twice(repository: FormerRepository, server: str):
    ids = range(1, 30_001)
    repository.write_table("drivers", drivers([1], NOW - 10 * HOUR, NOW - 9 * HOUR))
    repository.write_table("pairs", pairs([1], NOW - 10 * HOUR))
    repository.make().write_to_online_store("drivers", drivers(ids, NOW - HOUR, NOW))
    repository.move()
    command = [str(SKEWLESS), "import-feast", "--remove"]
    environment = os.environ | {"SKEWLESS_FEATURE_REPO": str(repository.folder)}
    with subprocess.Popen(command, env=environment, cwd=repository.folder, stdout=subprocess.DEVNULL) as process:
        until(lambda: repository.parts("drivers") is not None or process.poll() is not None)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert 0 < repository.parts("drivers").num_rows < len(ids)
    finished = subprocess.run(
        command, env=environment, cwd=repository.folder, capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert sorted(repository.parts("drivers")["driver_id"].to_pylist()) == list(ids)
    online = repository.feast().get_online_features(
        features=["drivers:rate"], entity_rows=[{"driver_id": number} for number in ids]
    )
    assert online.to_dict()["rate"] == [number / 8 for number in ids]
    with Redis.from_url(server) as client:
        assert not [key for key in client.scan_iter(_type="HASH") if b"_ts:drivers" in client.hkeys(key)]


@pytest.mark.parametrize("kind", ["redis-3"])
def test_a_row_that_feast_writes_meanwhile_is_not_removed(
    repository: FormerRepository, monkeypatch: pytest.MonkeyPatch, server: str
):
    served_by_feast(repository)
    former = repository.feast()
    repository.move()
    remove = FeastRedisRows.remove

    def pushed_before(self: FeastRedisRows, view: str, rows: object) -> int:
        if view == "drivers":
            former.write_to_online_store("drivers", drivers([5], NOW, NOW, rate=9))
        return remove(self, view, rows)  # type: ignore[arg-type]

    monkeypatch.setattr(FeastRedisRows, "remove", pushed_before)
    done = imported(repository, remove=True)
    assert [view.removed for view in done.result.views] == [5, 3]
    monkeypatch.undo()
    monkeypatch.setenv("SKEWLESS_REDIS_URL", server)
    monkeypatch.setenv("FORMER_PASSWORD", "")
    assert counts(imported(repository, remove=True))["drivers"] == (1, 0, 0)
    assert values(repository.feast(), [5])["rate"] == [9.625]


@pytest.mark.parametrize("kind", ["redis-3"])
def test_rows_of_the_future_wait(repository: FormerRepository):
    served_by_feast(repository)
    repository.feast().write_to_online_store("drivers", drivers([7], NOW + 48 * HOUR, NOW, rate=3))
    repository.move()
    done = imported(repository)
    assert done.result.views[0].waiting == 1
    assert "4 only there and imported, of which 1 wait for their time" in str(done)
    assert values(repository.feast(), [7])["rate"] == [None]
    assert 7 in repository.parts("drivers")["driver_id"].to_pylist()


@pytest.mark.parametrize("kind", ["redis-3"])
def test_rows_of_a_table_that_takes_no_pushes_are_counted_and_stay(repository: FormerRepository, server: str):
    repository.write_table("drivers", drivers([1], NOW - 10 * HOUR, NOW - 9 * HOUR))
    repository.write_table("pairs", pairs([1], NOW - 10 * HOUR))
    store = repository.make(twin=True)
    store.write_to_online_store("drivers", drivers([1, 2], NOW - HOUR, NOW))
    repository.move()
    done = imported(repository, remove=True)
    assert done.result.imported == done.result.views[0].removed == 0
    assert "drivers: 2 rows, 2 only there and not imported" in str(done)
    assert "not imported: its table is read by twin too; give each view a table" in str(done)
    assert repository.parts("drivers") is None
    with Redis.from_url(server) as client:
        assert len([key for key in client.scan_iter(_type="HASH") if b"_ts:drivers" in client.hkeys(key)]) == 2


@pytest.mark.parametrize("kind", ["redis-3"])
def test_the_store_is_named_by_a_text_and_secrets_by_variables(
    repository: FormerRepository, monkeypatch: pytest.MonkeyPatch, server: str
):
    served_by_feast(repository)
    repository.move()
    place = server.removeprefix("redis://").partition("/")[0]
    assert imported(repository, store=place, view="drivers").result.imported == 3
    with pytest.raises(BadArgument, match="name a variable"):
        imported(repository, store=f"{place},password=hunter2")
    with pytest.raises(BadArgument, match="changes nothing"):
        imported(repository, dry_run=True, remove=True)
    monkeypatch.delenv("FORMER_PASSWORD")
    with pytest.raises(FormerSecretMissing, match="FORMER_PASSWORD, which is not set"):
        imported(repository)
    monkeypatch.setenv("FORMER_PASSWORD", "hunter2")
    with pytest.raises(FormerStoreUnreachable) as refused:
        imported(repository)
    assert "refuses the password" in str(refused.value)
    with pytest.raises(FormerStoreUnreachable) as absent:
        imported(repository, store="127.0.0.1:9,password=${FORMER_PASSWORD}")
    assert "hunter2" not in str(refused.value) + str(absent.value)
    with pytest.raises(FormerStoreUnreachable, match=r"no\.db"):
        imported(repository, store="no.db")
    (repository.folder / "feature_store.yaml.before-skewless").unlink()
    with pytest.raises(FormerStoreUnknown, match=r"--store host:port"):
        imported(repository)


def test_keys_of_versions_two_and_three_are_parsed():
    from feast.infra.key_encoding_utils import serialize_entity_key
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey

    names = [("a",), ("ab",), ("a", "b"), ()]
    parser = FeastKeyParser(names)
    values = {
        "a": Value(int64_val=-7),
        "ab": Value(string_val="ü"),
        "b": Value(bytes_val=b"\x02\0"),
        "__dummy_id": Value(string_val=""),
    }
    plain = {"a": -7, "ab": "ü", "b": b"\x02\0", "__dummy_id": ""}
    for some in names:
        keys = some or ("__dummy_id",)
        for version in (2, 3):
            key = EntityKey(join_keys=keys, entity_values=[values[name] for name in keys])
            parsed = parser.parse(serialize_entity_key(key, version) + b"cabs")
            assert parsed is not None
            assert (parsed.names, parsed.values, parsed.project) == (keys, tuple(plain[name] for name in keys), "cabs")
    for number in (Value(int32_val=3), Value(unix_timestamp_val=3)):
        key = EntityKey(join_keys=["a"], entity_values=[number])
        assert parser.parse(serialize_entity_key(key, 2) + b"cabs").values == (3,)
    assert parser.parse(b"") is parser.parse(b"\x02\0\0\0a") is parser.parse(b"\x02\0\0\0zz") is None
