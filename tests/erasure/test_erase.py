"""One subject erased everywhere, the others untouched to the bit, whenever it is killed."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skewless.contract.plan import Field, JoinKey, ModelColumn, Plan, RequestInput
from skewless.contract.storage.push_batch import part_table
from skewless.contract.timestamps import to_micros
from skewless.erasure import erase
from skewless.erasure.erase import ErasurePlaces, ErasureUnfinished
from skewless.erasure.parquet_rows import ErasableTable, find, remove
from skewless.erasure.receipt import ErasureReceipt
from skewless.erasure.subject import ErasureSubject
from skewless.model.scoring.unfinished_scores import lock_file
from skewless.monitoring.served_log.ground_truth import GroundTruth
from skewless.offline.tables import compaction, day_partitions
from skewless.offline.tables.compaction import locked
from skewless.offline.tables.object_storage import RemoteTable
from skewless.online.materialization import materialize
from skewless.online.push import push
from skewless.online.push.push import PushedRows
from skewless.online.push.stream_entries import StreamEntries
from skewless.online.store.online_project import OnlineProject
from skewless.online.store.store import SyncOnlineStore
from skewless.registry.model_registry import ModelRegistry
from skewless.state.database import StateDatabase
from skewless.state.locks import LockBusy, file_lock
from tests.erasure.shop_project import NOW, PEOPLE, SUBJECT, clock, places, put, run
from tests.faults.killed_calls import killer
from tests.oracles import entity_key
from tests.services.s3 import BUCKET, S3, s3, s3_server
from tests.tables.pushed_view import CARDS, PROJECT, TARGET, at, differences, row, source, stored

__all__ = ["s3", "s3_server"]


LABEL = 42.0
"""Of the subject's row."""


def _asked(*rows: tuple[str, int]) -> dict[str, pa.Array]:
    return {"request_id": pa.array([name for name, _ in rows]), "row": pa.array([row for _, row in rows], pa.int32())}


ASKED = _asked(("r1", 0), ("r1", 1), ("r2", 0))


def fill(where: ErasurePlaces) -> None:
    """Customers 41 to 44 everywhere."""
    reader = PushedRows(PROJECT, TARGET)
    base = [row(number, minutes=minutes, amount=number / 7) for minutes in (-3000, -5, 0) for number in range(41, 45)]
    table = part_table(TARGET, reader.batch([reader.parse(base)], NOW - 1))
    days = table.sort_by("event_timestamp").to_batches()
    day_partitions.write(where.data / "cards", days, ("customer",), date(2013, 9, 1), date(2013, 11, 1))
    put(where, "cards", row(42, minutes=1, shop="B"), row(43, minutes=1, shop="B"))
    compaction.run(source(where.data), before=2**62, now=NOW, keep=timedelta(0))
    put(where, "cards", *[row(number, minutes=2) for number in range(41, 45)])
    put(where, "cards", row(42, minutes=3))
    plain = {"event_timestamp": at(0).isoformat()}
    put(where, "people", *[{"customer": number, "age": number, **plain} for number in range(41, 45)])
    put(where, "shops", *[{"shop": f"S{number}", "customer": number, **plain} for number in range(41, 45)])
    folders = where.folders
    for folder, columns in (
        (folders.data / "spine", {"customer": [41, 42, 43], "y": [1, 0, 1]}),
        (folders.training / "service", {"who": ["41", "42", "43"], "x": [0.5, 1.5, 2.5]}),
        (folders.scores / "m" / "spine", {"who": [41, 42, 43], "score": [0.1, 0.2, 0.3]}),
        (folders.scores / "m" / ".a--b-unfinished", {"who": [42, 43], "score": [0.2, 0.3]}),
        (folders.quarantine / "cards" / "pushed-1", {"customer": [41, 42], "amount": [0.5, 1.5]}),
        (folders.served / "model=m" / "version=1", {"entity:who": [41, 42, None], "score": [0.1, 0.2, 0.3], **ASKED}),
        (folders.served / "model=m" / "version=2", {"entity:shop": ["42", "42"], "score": [0.1, 0.2]}),
    ):
        folder.mkdir(parents=True)
        pq.write_table(pa.table(columns), folder / "data.parquet", compression="gzip")
    ours, others = pa.table({**ASKED, "label": [1.0, LABEL, 0.0]}), pa.table({**ASKED, "label": [1.0, 1.0, 0.0]})
    GroundTruth(folders.served, "m").add(ours, at(1))
    GroundTruth(folders.served, "m").add(pa.table({**_asked(("r1", 0), ("r9", 1)), "label": [0.0, 1.0]}), at(2))
    GroundTruth(folders.served, "another").add(others, at(1))
    events = where.entries
    events.open()
    events.add("cards", json.dumps([row(42), row(43)]).encode())
    events.add("cards", json.dumps(row(42)).encode())
    events.add("people", json.dumps([{"customer": 41}]).encode())
    where.client.xadd(events.dead, {"view": "cards", "rows": '{"customer": "42"', "reason": "not JSON"})
    where.client.xadd(events.dead, {"view": "cards", "rows": json.dumps([row(42), row(44)]), "reason": "for 42"})


def everything(where: ErasurePlaces) -> dict[str, list[dict]]:
    """All rows of all files, in their order."""
    found = {}
    for file in sorted(where.folders.root.rglob("*.parquet")):
        found[str(file.relative_to(where.folders.root))] = pq.ParquetFile(file).read().to_pylist()
    return found


def is_subject(one: dict) -> bool:
    return (
        one.get("label") == LABEL
        or ("shop" not in one.keys() - {"customer"} and 42 in (one.get("customer"), one.get("entity:who")))
        or (one.get("who") in (42, "42") or ("amount" in one and one["customer"] == 42))
    )


@pytest.fixture
def where(tmp_path: Path, redis_url: str) -> ErasurePlaces:
    made = places(tmp_path, redis_url)
    fill(made)
    return made


def test_the_subject_is_gone_and_all_others_are_as_they_were(where: ErasurePlaces, redis_url: str):
    before, hashes = everything(where), _hashes(where.folders.root)
    keys = set(where.client.keys())
    receipt, path = run(SUBJECT, where)
    after = everything(where)
    assert after == {name: [one for one in rows if not is_subject(one)] for name, rows in before.items()}
    untouched = {name for name, rows in before.items() if not any(map(is_subject, rows))}
    assert "data/shops" in {name.rpartition("/")[0] for name in untouched}
    assert {name: hashes[name] for name in untouched} == {
        n: h for n, h in _hashes(where.folders.root).items() if n in untouched
    }
    gone = keys - set(where.client.keys())
    expected = {
        entity_key(PROJECT, {"customer": ("Int64", 42), "shop": ("String", "A")}),
        entity_key(PROJECT, {"customer": ("Int64", 42), "shop": ("String", "B")}),
        entity_key(PROJECT, {"customer": ("Int64", 42)}),
    }
    assert gone == expected
    assert differences(redis_url, where.data, NOW) == []
    rows = sum(len(before[name]) - len(after[name]) for name in before)
    assert sum(one.rows for one in receipt.files) == rows
    assert (receipt.online_entities, receipt.stream_rows, receipt.status) == (3, 4, "done")
    assert {"batch scores", "quarantined rows"} <= {one.kind for one in receipt.files}
    assert any("--out" in place for place in receipt.not_reached)
    assert all(one.before == hashes[one.path] and one.after != one.before for one in receipt.files)
    assert erase.plan(SUBJECT, where).empty
    assert msgspec.json.decode(path.read_bytes(), type=ErasureReceipt) == receipt
    assert not [told for told in ("customer=42", '"42"', " 42,") if told in path.read_text()], "nobody is named"
    assert (
        receipt.digest
        == SUBJECT.digest(bytes.fromhex(receipt.salt))
        != ErasureSubject.parse(["customer=43"]).digest(bytes.fromhex(receipt.salt))
    )


def test_streams_keep_what_is_about_others(where: ErasurePlaces):
    run(SUBJECT, where)
    entries = where.entries
    left = [json.loads(fields[b"rows"]) for _, fields in where.client.xrange(entries.key)]
    assert left == [[{"customer": 41}], [row(43)]]
    ((_, letter),) = where.client.xrange(entries.dead)
    assert json.loads(letter[b"rows"]) == [row(44)]
    assert b"42" not in letter[b"reason"]


def test_materializing_does_not_bring_it_back(where: ErasurePlaces, tmp_path: Path, redis_url: str):
    run(SUBJECT, where)
    state = StateDatabase(f"sqlite:///{tmp_path / 'state.db'}")
    store = SyncOnlineStore(where.client, PROJECT)
    views = [(view, one) for view, one in where.views]
    for full in (False, True):
        windows = materialize.plan_windows(state, PROJECT, views, end=at(100), full=full)
        materialize.run(windows, OnlineProject(PROJECT, store, state), clock=clock)
    state.close()
    assert erase.plan(SUBJECT, where).empty
    assert differences(redis_url, where.data, to_micros(at(100))) == []


def test_it_waits_for_batch_scores_that_are_on_their_way(where: ErasurePlaces):
    """Such a run has read the subject's rows, and writes them when it is done."""
    folder = where.folders.scores / "m" / "spine"
    with file_lock(lock_file(folder), "scores", "score"), pytest.raises(LockBusy, match=r"scores/m/spine"):
        run(SUBJECT, where, wait=timedelta(0))
    run(SUBJECT, where, wait=timedelta(0))


def test_a_dry_run_changes_nothing(where: ErasurePlaces):
    hashes, size = _hashes(where.folders.root), where.client.dbsize()
    lines = erase.plan(SUBJECT, where).lines()
    assert any("online store: 3 entities" in line for line in lines)
    assert any(line.startswith("served log: 1 rows") for line in lines)
    assert any(line.startswith("outcomes: 1 rows") for line in lines)
    assert (_hashes(where.folders.root), where.client.dbsize()) == (hashes, size)
    assert erase.plan(ErasureSubject.parse(["customer=99"]), where).lines() == ["nothing is about this subject"]


def test_a_composite_subject_is_only_who_has_all_keys(where: ErasurePlaces):
    subject = ErasureSubject.parse(["customer=42", "shop=B"])
    receipt, _ = run(subject, where)
    assert (receipt.online_entities, sum(one.rows for one in receipt.files)) == (1, 1)
    assert {one.key for one in stored(where.data) if one.key[0] == 42} == {(42, "A")}


@pytest.mark.timeout(900)
def test_a_kill_at_any_step_is_taken_up_by_the_next_run(tmp_path: Path, redis_url: str):
    where = places(tmp_path / "first", redis_url)
    fill(where)
    before, client = everything(where), where.client
    rows = sum(is_subject(one) for some in before.values() for one in some)
    dumped = {key: client.dump(key) for key in client.scan_iter()}
    shutil.copytree(where.folders.root, tmp_path / "kept")
    done = False
    with killer("tests.erasure.shop_project", "erased") as killed:
        for step in range(1, 200):
            root = tmp_path / f"{step}"
            shutil.copytree(tmp_path / "kept", root)
            client.flushall()
            for key, content in dumped.items():
                client.restore(key, 0, content)
            one = places(root, redis_url)
            done = not killed(step, str(root), redis_url)
            now = everything(one)
            for name, some in before.items():
                assert now[name] in (some, [row for row in some if not is_subject(row)]), "a file is old or new"
            if not done:
                run(SUBJECT, one)
            receipts = [
                msgspec.json.decode(path.read_bytes(), type=ErasureReceipt) for path in one.receipts.glob("*.json")
            ]
            assert {receipt.status for receipt in receipts} == {"done"}
            # Two where it was killed between the receipt's last word and its end.
            assert sum(file.rows for receipt in receipts for file in receipt.files) == rows
            assert sum(receipt.online_entities for receipt in receipts) == 3
            assert sum(receipt.stream_rows for receipt in receipts) == 4
            assert erase.plan(SUBJECT, one).empty
            one.client.close()
            shutil.rmtree(root)
            if done:
                break
    assert done
    assert step > 10


def test_who_comes_back_as_fast_is_told(where: ErasurePlaces, monkeypatch):
    monkeypatch.setattr(erase, "_remove", lambda *_: None)
    with pytest.raises(ErasureUnfinished, match="run this again"):
        run(SUBJECT, where)
    monkeypatch.undo()
    receipt, _ = run(SUBJECT, where)
    assert receipt.status == "done"
    assert len(list(where.receipts.iterdir())) == 1


def test_a_table_that_is_being_compacted_is_left_for_later(where: ErasurePlaces):
    told = r"`skewless compact` \(process \d+ on .*\) works on .*cards.*run this again"
    with locked(where.data / "cards", "compact"), pytest.raises(LockBusy, match=told):
        run(SUBJECT, where, wait=timedelta(0))
    assert run(SUBJECT, where)[0].status == "done"


def test_a_rewritten_file_keeps_its_schema_groups_and_codecs(tmp_path: Path):
    kinds = pa.schema(
        [
            pa.field("k", pa.dictionary(pa.int32(), pa.string()), metadata={b"unit": b"x"}),
            ("at", pa.timestamp("ns", tz="UTC")),
            ("list", pa.list_(pa.struct([("a", pa.int8())]))),
            ("f", pa.float32()),
        ],
        metadata={b"made": b"here"},
    )
    rows = [{"k": "xyz"[n % 3], "at": n, "list": [{"a": n}] if n else None, "f": n / 3} for n in range(9)]
    table = pa.Table.from_pylist(rows, kinds)
    path = tmp_path / "t.parquet"
    codecs = {"k": "SNAPPY", "at": "ZSTD", "list.list.element.a": "GZIP", "f": "NONE"}
    pq.write_table(table, path, row_group_size=3, compression=codecs)
    path.chmod(0o640)
    held = pq.ParquetFile(path).schema_arrow
    subject, place = ErasureSubject.parse(["k=y"]), ErasableTable("t", path, {"k": ["k"]})
    (found,) = find(subject, place)
    remove(subject, found)
    new = pq.ParquetFile(path)
    assert new.schema_arrow.equals(held, check_metadata=True)
    assert new.schema_arrow.metadata[b"made"] == b"here"
    expected = table.filter(pa.array([one["k"] != "y" for one in rows]))
    assert new.read().to_pylist() == expected.to_pylist()
    assert new.read().schema.equals(kinds)
    group = new.metadata.row_group(0)
    assert new.metadata.num_row_groups == 3
    found_codecs = {group.column(n).path_in_schema: group.column(n).compression for n in range(4)}
    assert found_codecs == codecs | {"f": "UNCOMPRESSED"}
    assert path.stat().st_mode & 0o777 == 0o640
    assert list(find(subject, place)) == []


def test_views_of_texts_are_rewritten_as_views(tmp_path: Path):
    views = {"k": pa.array(["x", "y"]).cast(pa.string_view()), "note": pa.array(["a", "b"]).cast(pa.string_view())}
    pq.write_table(pa.table(views), tmp_path / "t.parquet")
    subject, place = ErasureSubject.parse(["k=y"]), ErasableTable("t", tmp_path / "t.parquet", {"k": ["k"]})
    (found,) = find(subject, place)
    remove(subject, found)
    left = pq.read_table(tmp_path / "t.parquet")
    assert (left.to_pylist(), left.schema.types) == ([{"k": "x", "note": "a"}], [pa.string_view()] * 2)
    assert list(find(subject, place)) == []


def _hashes(root: Path) -> dict[str, str]:
    files = sorted(root.rglob("*.parquet"))
    return {str(file.relative_to(root)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def test_a_stream_that_is_not_there_has_nothing(tmp_path: Path, redis_url: str):
    where = places(tmp_path, redis_url)
    assert erase.plan(SUBJECT, where).empty
    assert isinstance(where.entries, StreamEntries)
    assert CARDS in [view for view, _ in where.views]


def test_a_table_elsewhere_is_named_and_neither_compacted_nor_rewritten(where: ErasurePlaces):
    remote = RemoteTable((where.data / "cards").as_uri())
    views = tuple((view, replace(one, remote=remote) if view is CARDS else one) for view, one in where.views)
    there, hashes = replace(where, views=views), _hashes(where.data / "cards")
    assert compaction.run(views[0][1], before=2**62, now=NOW) == compaction.CompactionResult(0, 0, 0, 0)
    receipt, _ = run(SUBJECT, there)
    assert remote.url in receipt.not_reached[0]
    assert _hashes(where.data / "cards") == hashes
    assert push.targets(views, where.data)["cards"].remote == remote.url


@pytest.mark.parametrize("kind", ["folder", "s3"])
def test_the_names_of_keys_in_published_plans_count_wherever_the_models_are(
    tmp_path: Path, redis_url: str, kind: str, request: pytest.FixtureRequest
):
    where = places(tmp_path, redis_url)
    address = str(tmp_path / "other-models")
    if kind == "s3":
        server: S3 = request.getfixturevalue("s3")
        address = f"s3://{BUCKET}/models?endpoint_override={server.endpoint}"
    where = replace(where, registry=ModelRegistry(address, tmp_path / "mirror"))
    view = msgspec.structs.replace(PEOPLE, join_keys=(JoinKey("buyer", "customer", "Int64"),))
    plan = Plan("m", PROJECT, (view,), (Field("n", "Int64"),), (), (ModelColumn("n", RequestInput("n")),))
    bundle = (tmp_path / "other-models" if kind == "folder" else tmp_path / "here") / "m" / "1.0.0"
    bundle.mkdir(parents=True)
    (bundle / "plan.json").write_bytes(plan.to_json())
    where.registry.add("m", "1.0.0", bundle)
    logged = where.folders.served / "model=m" / "version=1.0.0" / "data.parquet"
    logged.parent.mkdir(parents=True)
    pq.write_table(pa.table({"entity:buyer": [41, 42], "score": [0.1, 0.2]}), logged)
    run(SUBJECT, where)
    assert pq.read_table(logged, partitioning=None).column("entity:buyer").to_pylist() == [41]
