"""Rows that only Feast's own stores hold, written by Feast itself, brought to ours."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess

import pyarrow.compute as pc
import pytest
from feast.infra.online_stores.helpers import _mmh3
from feast.protos.feast.types.Value_pb2 import Map, Value
from redis import Redis

from skewless.contract.storage.entity_key import EntityKeyEncoder
from skewless.feast.importing.redis_layout import FeastRedisRows
from skewless.files import table_parts
from skewless.online.push import push
from skewless.online.store.store import SyncOnlineStore
from skewless.sdk import Project
from tests.feast.importing.former_repository import (
    HOUR,
    IDS,
    NOW,
    FormerRepository,
    counts,
    drivers,
    imported,
    pairs,
    served_by_feast,
    values,
)
from tests.services.serve_process import SKEWLESS
from tests.services.waiting import until

# Feast warns of the old version, which it writes all the same.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Serialization of entity key"),
    pytest.mark.filterwarnings("ignore:The serialization version below 3"),
]


class Killed(BaseException):
    """As a kill: nothing after it is done."""


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
        wide = Value(map_val=Map(val={"a": Value(string_val="x"), "z": Value(int64_val=1)}))  # not the table's struct
        client.hset(keys.encode([96]), mapping=hashes | {_mmh3("drivers:meta"): wide.SerializeToString()})
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
    assert "not held: 1 have values that meta does not hold" in printed
    assert "no values: 1 have none of the features" in printed
    assert "not decoded: 1 have keys" in printed
    assert "gone: 1 rows, not imported: the registry has no such online feature view" in printed
    assert counts(done)["drivers"] == (3, 3, 0)
    with Redis.from_url(server) as client:
        assert all(client.exists(keys.encode([number])) for number in (*range(90, 95), 96))
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
    repository.write_table("drivers", drivers([1], NOW - 10 * HOUR, NOW - 9 * HOUR).assign(stars=5))
    repository.write_table("pairs", pairs([1], NOW - 10 * HOUR))
    store = repository.make("trips", "stars")
    store.write_to_online_store("drivers", drivers([1, 2], NOW - HOUR, NOW))
    repository.move()
    done = imported(repository, remove=True)
    assert done.result.imported == done.result.views[0].removed == 0
    assert not done.clean
    assert "drivers: 2 rows, 2 only there and not imported" in str(done)
    assert "not imported: its table is read by twin too; give each view a table" in str(done)
    assert repository.parts("drivers") is None
    with Redis.from_url(server) as client:
        assert len([key for key in client.scan_iter(_type="HASH") if b"_ts:drivers" in client.hkeys(key)]) == 2


@pytest.mark.parametrize("kind", ["redis-3"])
def test_a_table_that_cannot_be_read_stops_no_other_view(repository: FormerRepository):
    before = served_by_feast(repository)
    repository.write_table("drivers", drivers([1], NOW - 10 * HOUR, NOW).assign(trips="x"))
    repository.move()
    done = imported(repository, remove=True)
    assert not done.clean
    assert "drivers: not imported, since its table cannot be read: " in str(done)
    assert "'trips'" in str(done)
    assert counts(done) == {"drivers": (0, 0, 0), "pairs": (2, 1, 0)}
    assert values(repository.feast(), IDS)["rides"] == before["rides"]


@pytest.mark.parametrize("kind", ["redis-3"])
def test_a_view_that_reads_the_same_columns_of_the_table_gets_the_row_too(repository: FormerRepository):
    repository.write_table("drivers", drivers([1, 2], NOW - 10 * HOUR, NOW - 9 * HOUR))
    repository.write_table("pairs", pairs([1], NOW - 10 * HOUR))
    store = repository.make("trips")
    store.materialize(NOW - 20 * HOUR, NOW)
    store.write_to_online_store("drivers", drivers([2, 4], NOW - HOUR, NOW))
    store.write_to_online_store("twin", drivers([4, 5], NOW - 2 * HOUR, NOW).drop(columns=["rate", "tags", "meta"]))
    repository.move()
    done = imported(repository, remove=True)
    assert counts(done) == {"drivers": (2, 1, 0), "twin": (1, 1, 2), "pairs": (0, 1, 0)}
    assert "twin: 4 rows, 1 only there and not imported" in str(done), "its rows lack what drivers needs"
    moved = repository.feast()
    keys = [{"driver_id": number} for number in (1, 2, 4)]
    for features in (["drivers:trips"], ["twin:trips"]):
        assert moved.get_online_features(features=features, entity_rows=keys).to_dict()["trips"] == [1, 2, 4]
    with Project.open(repository.folder, progress=False) as project:
        project.materialize()
        assert project.housekeeping.verify().clean
