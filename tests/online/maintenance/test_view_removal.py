"""Removing views: whole, nothing else, in steps that a kill may interrupt; on one server and on a cluster."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing

import msgspec
import pytest
from redis import Redis, RedisCluster

from skewless.contract.errors import RemovalUnfinished
from skewless.contract.plan import JoinKey, PlanView
from skewless.contract.storage.catalog import catalog_key, removal_field
from skewless.contract.storage.completeness import StoredView
from skewless.online.maintenance import view_removal
from skewless.online.store.connection import RedisUnreachable, connect
from skewless.online.store.store import SyncOnlineStore
from tests.checkout import ROOT
from tests.oracles import entity_key
from tests.tables.arrays import packed
from tests.tables.delay_rows import VIEW, key, row

OTHER = msgspec.structs.replace(VIEW, name="kept", stored_as="kept")
PAIR = PlanView(
    "pair", "pair", (JoinKey("b", "b", "Int64"), JoinKey("a", "a", "String")), VIEW.fields, 0, "event_timestamp"
)
ALONE = PlanView("alone", "alone", (), VIEW.fields, 0, "event_timestamp")
ENTITIES = 300


@pytest.fixture(params=["single", "cluster"])
def client(request) -> Iterator[Redis | RedisCluster]:
    url = request.getfixturevalue("redis_url") if request.param == "single" else None
    with closing(connect(url or request.getfixturevalue("redis_cluster").url)) as client:
        yield client


def fill(client, project: str = "tests") -> SyncOnlineStore:
    (one,) = packed(VIEW.fields, [row(1.0, 1)])
    writer = SyncOnlineStore(client, project)
    keys = [entity_key(project, {"origin": ("String", f"A{number}")}) for number in range(ENTITIES)]
    pairs = [entity_key(project, {"a": ("String", "x"), "b": ("Int64", number)}) for number in range(5)]
    (nobody,) = [entity_key(project, {"__dummy_id": ("String", "")})]
    for view, places in ((VIEW, keys), (OTHER, keys), (PAIR, pairs), (ALONE, [nobody])):
        writer.prepare(view)
        writer.write(view, places, [one] * len(places))
        writer.introduce(view)
    return writer


def dump(client) -> dict[bytes, dict[bytes, bytes]]:
    return {key: client.hgetall(key) for key in client.scan_iter(count=1000, _type="HASH")}


def without(before: dict[bytes, dict[bytes, bytes]], project: str, *views: str) -> dict[bytes, dict[bytes, bytes]]:
    """What is left of `before`: nothing of these views."""
    gone = {view.encode() for view in views} | {f"view:{view}".encode() for view in views}
    left = {}
    for place, fields in before.items():
        mine = place.endswith(project.encode())
        left[place] = {name: value for name, value in fields.items() if not (mine and name in gone)}
    return {place: fields for place, fields in left.items() if fields}


def test_all_of_a_view_goes_and_nothing_else(client):
    fill(client, "other*")
    fill(client)
    client.set("text tests", "no hash")
    before = dump(client)
    told = []
    removed = view_removal.remove(client, "tests", [VIEW, PAIR, ALONE], report=lambda *step: told.append(step))
    assert removed == {"delays": ENTITIES, "pair": 5, "alone": 1}
    assert dump(client) == without(before, "tests", "delays", "pair", "alone")
    assert told
    assert all(done <= total for _, done, total in told)
    assert view_removal.remove(client, "tests", [VIEW]) == {"delays": 0}
    assert view_removal.remove(client, "tests", []) == {}
    assert view_removal.remove(client, "other*", [OTHER]) == {"kept": ENTITIES}


def test_a_removal_that_is_cut_short_is_seen_and_goes_on(client, monkeypatch):
    writer = fill(client)
    before = dump(client)
    monkeypatch.setattr(view_removal, "_KEYS_A_SCAN", 20)
    save_cursors = view_removal._KeyWalk._save_cursors
    walked: list[dict[str, int]] = []

    def dying(self, layout, cursors):
        save_cursors(self, layout, cursors)
        walked.append(dict(cursors))
        if len(walked) == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(view_removal._KeyWalk, "_save_cursors", dying)
    with pytest.raises(KeyboardInterrupt):
        view_removal.remove(client, "tests", [VIEW])
    left = sum(b"delays" in fields for fields in dump(client).values())
    assert 0 < left < ENTITIES
    assert writer.stored_views([VIEW, OTHER]) == {"delays": StoredView(), "kept": StoredView(OTHER)}
    with pytest.raises(RemovalUnfinished, match="skewless sweep"):
        writer.prepare(VIEW)
    writer.prepare(OTHER)

    seen = []
    scan = view_removal._KeyWalk._scan
    monkeypatch.setattr(view_removal._KeyWalk, "_save_cursors", save_cursors)
    monkeypatch.setattr(
        view_removal._KeyWalk,
        "_scan",
        lambda self, server, cursor: seen.append((server.run_id, cursor)) or scan(self, server, cursor),
    )
    assert view_removal.remove(client, "tests", []) == {"delays": left}
    assert dict(seen) | walked[-1] == dict(seen), "it went on from where it was"
    assert dump(client) == without(before, "tests", "delays")
    writer.prepare(VIEW)


def test_the_place_of_another_process_means_nothing(redis_url):
    with closing(connect(redis_url)) as client:
        fill(client)
        cut = view_removal.ViewRemoval(
            "delays", ("origin",), "", {"another run": 512, client.info("server")["run_id"]: 0}
        )
        client.hset(catalog_key("tests"), removal_field("delays"), msgspec.json.encode(cut))
        assert view_removal.remove(client, "tests", []) == {"delays": ENTITIES}


def test_a_slot_that_moves_during_the_walk_is_walked_again(redis_cluster, monkeypatch):
    """A key may leave a server before its turn for one whose turn is over."""
    monkeypatch.setattr(view_removal, "_KEYS_A_SCAN", 50)
    moving = [key(number) for number in range(0, ENTITIES, 40)]
    delete, turns = view_removal._KeyWalk._delete, []

    def moved(self, keys):
        delete(self, keys)
        turns.append(1)
        if moving:
            redis_cluster.move_slot(moving.pop())

    monkeypatch.setattr(view_removal._KeyWalk, "_delete", moved)
    with closing(connect(redis_cluster.url)) as client:
        fill(client)
        removed = view_removal.remove(client, "tests", [VIEW])
    with closing(connect(redis_cluster.url)) as client:
        assert not [fields for fields in dump(client).values() if b"delays" in fields]
    assert removed == {"delays": ENTITIES}


SLOWLY = """
import sys, time
from skewless.online.maintenance import view_removal
from skewless.online.store.connection import connect
from skewless.contract.plan import JoinKey, PlanView

view_removal._KEYS_A_SCAN = 5
view = PlanView("delays", "delays", (JoinKey("origin", "origin", "String"),), (), 0, "event_timestamp")
view_removal.remove(connect(sys.argv[1]), "tests", [view], report=lambda *_: time.sleep(0.01))
"""


def test_a_removal_that_is_killed_is_finished_by_another_process(redis_url):
    with closing(connect(redis_url)) as client:
        fill(client)
        before = dump(client)
        process = subprocess.Popen([sys.executable, "-c", SLOWLY, redis_url], cwd=ROOT)
        last = time.monotonic() + 60
        while sum(client.hexists(key(number), "delays") for number in range(ENTITIES)) > ENTITIES * 3 // 4:
            assert process.poll() is None
            assert time.monotonic() < last
        process.kill()
        process.wait()
        left = sum(b"delays" in fields for fields in dump(client).values())
        assert 0 < left < ENTITIES
        assert view_removal.remove(client, "tests", []) == {"delays": left}
        assert dump(client) == without(before, "tests", "delays")


def test_versions_of_a_view_are_found_by_its_name(client):
    writer = fill(client)
    second = msgspec.structs.replace(VIEW, stored_as="delays@v2", join_keys=PAIR.join_keys)
    writer.introduce(second)
    writer.introduce(msgspec.structs.replace(VIEW, stored_as="delays_of_others"))
    found = view_removal.versions(client, "tests", VIEW, "delays")
    assert [(view.stored_as, view.join_keys) for view in found] == [
        ("delays", VIEW.join_keys),
        ("delays@v2", PAIR.join_keys),
    ]
    gone = msgspec.structs.replace(VIEW, stored_as="gone")
    assert view_removal.versions(client, "tests", gone, "gone") == [gone]


def test_a_store_that_is_away_is_told():
    with closing(Redis.from_url("redis://127.0.0.1:1")) as client, pytest.raises(RedisUnreachable):
        view_removal.remove(client, "tests", [VIEW])
