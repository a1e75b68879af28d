"""Rows pushed from here: in the table and in the online store, or told."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from redis import Redis

from skewless.contract.errors import InvalidRows, NotPushable
from skewless.contract.plan import Field
from skewless.contract.timestamps import to_micros
from skewless.online.push import push, row_files
from skewless.online.push.push import PushedRows, TableRefused, targets
from skewless.online.push.row_files import UnreadableRowFile, json_rows
from skewless.online.store.store import SyncOnlineStore
from tests.tables.pushed_view import CARDS, PROJECT, TARGET, at, differences, row, source, stored

NOW = to_micros(at(10))


@pytest.fixture
def store(redis: Redis) -> SyncOnlineStore:
    return SyncOnlineStore(redis, PROJECT)


def put(data: Path, store: SyncOnlineStore, *rows: dict, now: int = NOW, target=TARGET) -> push.PushResult:
    reader = PushedRows(PROJECT, target)
    return push.run(PROJECT, target, reader.batch([reader.parse(rows)], now), data, store, now)


def test_rows_are_on_both_sides(tmp_path, store, redis_url):
    told = put(tmp_path, store, row(1), row(2, minutes=1, note=None), row(1, shop="B"))
    assert told == push.PushResult(3, 3, 0)
    held = stored(tmp_path)
    assert [(one.key, one.created) for one in held] == [((1, "A"), NOW), ((1, "B"), NOW), ((2, "A"), NOW)]
    assert held[0].values[1] == 2**53 + 1
    assert held[2].values[2] is None
    assert differences(redis_url, tmp_path, NOW) == []


def test_the_newest_wins_in_any_order_and_repeats_are_harmless(tmp_path, store, redis_url):
    known = at(5).isoformat()
    rows = [
        row(1, minutes=3, amount=3, created_timestamp=known),
        row(1, minutes=1, amount=1, created_timestamp=known),
        row(1, minutes=2, amount=2, created_timestamp=known),
    ]
    for some in ([rows[0]], rows, rows[1:], rows[::-1]):
        put(tmp_path, store, *some)
    assert differences(redis_url, tmp_path, NOW) == []
    correction = row(1, minutes=3, amount=4, created_timestamp=at(6).isoformat())
    assert put(tmp_path, store, correction).won == 1
    assert put(tmp_path, store, *rows).won == 0
    assert differences(redis_url, tmp_path, NOW) == []


def test_a_tombstone_needs_no_features(tmp_path, store, redis_url):
    put(tmp_path, store, row(1))
    gone = {"customer": 1, "shop": "A", "event_timestamp": at(1).isoformat(), "gone": True}
    assert put(tmp_path, store, gone).won == 1
    assert [one.deleted for one in stored(tmp_path)] == [False, True]
    assert differences(redis_url, tmp_path, NOW) == []


@pytest.mark.parametrize("future", [{"minutes": 11}, {"created_timestamp": at(11).isoformat()}])
def test_a_row_from_the_future_lies_in_the_table_and_waits(tmp_path, store, redis_url, future):
    put(tmp_path, store, row(1))
    assert put(tmp_path, store, row(1, amount=9, **future), row(2)) == push.PushResult(2, 1, 1)
    assert len(stored(tmp_path)) == 3
    assert differences(redis_url, tmp_path, NOW) == []


@pytest.mark.parametrize(
    ("broken", "pointer", "reason"),
    [
        ({"customer": None}, "/1/customer", "must not be null"),
        ({"customer": "x"}, "/1/customer", "must be an integer of 64 bits"),
        ({"amount": 1e39}, "/1/amount", "must be from"),
        ({"count": 1.0}, "/1/count", "must be an integer"),
        ({"event_timestamp": "yesterday"}, "/1/event_timestamp", "must be a time"),
        ({"event_timestamp": None}, "/1/event_timestamp", "must not be null"),
        ({"gone": 1}, "/1/gone", "must be true, false"),
        ({"colour/x": 1}, "/1/colour~1x", "is unknown; a row has customer, shop, amount"),
    ],
)
def test_a_bad_row_is_pointed_at_and_nothing_is_stored(tmp_path, store, redis, broken, pointer, reason):
    with pytest.raises(InvalidRows) as refused:
        put(tmp_path, store, row(), row(2) | broken)
    (error,) = refused.value.errors
    assert error.pointer == pointer
    assert reason in error.reason
    assert not list(tmp_path.iterdir())
    assert redis.keys() == []


def test_every_culprit_is_named(tmp_path, store):
    short = row()
    del short["shop"], short["note"], short["event_timestamp"]
    with pytest.raises(InvalidRows) as refused:
        put(tmp_path, store, short, 7, row(note=5))
    assert [error.pointer for error in refused.value.errors] == [
        "/0/shop", "/0/note", "/0/event_timestamp", "/1", "/2/note",
    ]  # fmt: skip


def test_a_store_that_is_away_is_told_and_the_table_has_the_rows(tmp_path, redis_url):
    with Redis.from_url("unix:///nowhere/valkey.sock") as nobody:
        told = put(tmp_path, SyncOnlineStore(nobody, PROJECT), row(1))
    assert (told.rows, told.won) == (1, 0)
    assert "skewless up" in str(told.refusal)
    assert len(stored(tmp_path)) == 1
    with Redis.from_url(redis_url) as client:
        again = put(tmp_path, SyncOnlineStore(client, PROJECT), row(1), now=NOW + 1)
    assert again.won == 1
    assert differences(redis_url, tmp_path, NOW + 1) == []


def test_a_table_that_takes_no_rows_stops_the_push(tmp_path, store, redis):
    (tmp_path / "cards").write_text("a file where the folder should be")
    with pytest.raises(TableRefused, match="cards"):
        put(tmp_path, store, row())
    assert redis.keys() == []


def test_a_table_that_two_views_read_is_refused(tmp_path):
    other = msgspec.structs.replace(CARDS, name="other", stored_as="other")
    found = targets([(CARDS, source(tmp_path)), (other, source(tmp_path))], tmp_path)
    assert found["cards"].shared_with == ("other",)
    with pytest.raises(NotPushable, match="read by other too"):
        PushedRows(PROJECT, found["cards"])


def test_targets_say_where_parts_go(tmp_path):
    assert targets([(CARDS, source(tmp_path))], tmp_path)["cards"] == TARGET


def test_lists_maps_and_structs_are_read_from_json(tmp_path, store, redis, redis_url):
    fields = (
        Field("vector", "Array(Float32)"),
        Field("tags", "Set(String)"),
        Field("point", 'Struct({"lat": Float64, "names": Array(String)})'),
        Field("more", "Map"),
        Field("seen", "Array(UnixTimestamp)"),
    )
    view = msgspec.structs.replace(CARDS, fields=fields)
    target = msgspec.structs.replace(TARGET, view=view, renamed=())
    values = {
        "vector": [0.1, 2],
        "tags": ["b", "a"],
        "point": {"lat": 1.5, "names": ["x"]},
        "more": {"a": 1, "b": [1, 2]},
        "seen": ["2013-10-01T12:00:00Z"],
    }
    keys = {"customer": 1, "shop": "A", "event_timestamp": at(0).isoformat()}
    assert put(tmp_path, store, keys | values, target=target).won == 1
    field = view.stored_as.encode()
    (entity,) = [key for key in redis.scan_iter() if redis.hexists(key, field)]
    pushed = redis.hget(entity, field)
    redis.delete(entity)
    materialized = _materialized(tmp_path, view, store)
    assert materialized == pushed, "what is materialized from the part is what was pushed"
    with pytest.raises(InvalidRows) as refused:
        put(tmp_path, store, keys | values | {"vector": [1, None], "point": {"far": 1}}, target=target)
    assert [error.pointer for error in refused.value.errors] == ["/0/vector", "/0/point"]


def _materialized(data: Path, view, store: SyncOnlineStore) -> bytes:
    from skewless.offline.tables.view_rows import read_history
    from skewless.online.materialization.newest_arrivals import packed

    where = source(data, msgspec.structs.replace(TARGET, view=view, renamed=()))
    (row,) = packed(view, read_history(view, where, where.files())).to_pylist()
    return row


def test_files_of_every_format_give_the_same_rows(tmp_path, store, redis_url):
    rows = [row(1, note=None), row(2, minutes=1)]
    table = pa.Table.from_pylist(rows)
    for name in ("event_timestamp", "seen"):
        place = table.column_names.index(name)
        table = table.set_column(place, name, table.column(name).cast(pa.timestamp("us", tz="UTC")))
    table = table.set_column(2, "amount", table.column("amount").cast(pa.float32()))
    pq.write_table(table, tmp_path / "rows.parquet")
    lines = ["customer,shop,amount,count,note,seen,event_timestamp"]
    lines += [",".join("" if v is None else str(v) for v in one.values()) for one in rows]
    contents = {
        "json": [json.dumps(rows), json.dumps({"rows": rows}), "\n".join(map(json.dumps, rows)) + "\n\n"],
        "csv": ["\n".join(lines)],
        "parquet": [(tmp_path / "rows.parquet").read_bytes()],
    }
    found = []
    for kind, texts in contents.items():
        for number, text in enumerate(texts):
            content = text if isinstance(text, bytes) else text.encode()
            data = tmp_path / f"{kind}{number}"
            push.run(PROJECT, TARGET, row_files.read(PushedRows(PROJECT, TARGET), content, kind, NOW), data, store, NOW)
            found.append(stored(data))
    assert len(found) == 5
    assert all(one == found[0] for one in found)
    assert differences(redis_url, data, NOW) == []


@pytest.mark.parametrize(
    ("kind", "content", "error", "told"),
    [
        ("json", b'{"a": 1}\n{"b": ', UnreadableRowFile, "line 2"),
        ("parquet", b"no", UnreadableRowFile, "PARQUET"),
        ("csv", b"customer,shop\n1,A", InvalidRows, "amount: is missing"),
        ("csv", b"customer,shop,amount,count,note,seen,event_timestamp\nx,,,,,,", UnreadableRowFile, "CSV"),
    ],
)
def test_a_file_that_is_not_of_its_format_is_refused(kind, content, error, told):
    with pytest.raises(error, match=told):
        row_files.read(PushedRows(PROJECT, TARGET), content, kind, NOW)


def test_a_lone_row_is_rows():
    assert json_rows(b'{"a": 1}') == [{"a": 1}]
