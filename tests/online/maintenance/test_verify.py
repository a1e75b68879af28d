"""What verify finds, what it lets be, and what it mends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from unittest.mock import patch

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis import Redis

from skewless.contract.plan import JoinKey, PlanView
from skewless.contract.storage.row_header import times
from skewless.contract.timestamps import to_micros
from skewless.online.maintenance import verify
from skewless.online.maintenance.verify import classify
from skewless.online.maintenance.verify_result import EntitySample, StoreDifference, VerifyResult
from skewless.online.store.online_project import OnlineProject
from skewless.online.store.store import SyncOnlineStore
from skewless.state.database import StateDatabase
from skewless.state.locks import LockBusy
from tests.oracles import Row, entity_key, merged, packed_row
from tests.tables.histories import source
from tests.tables.view_project import SEEN, TRUE, ViewProject, at, row


@pytest.fixture
def project(tmp_path: Path, state: StateDatabase, redis: Redis) -> ViewProject:
    made = ViewProject(tmp_path / "data", state, redis)
    made.write(row("N1", 0, 0, 1), row("N1", 1, 1, 2), row("N2", 1, 1), row("N3", 1, 1), row("N9", 7, 7))
    made.run(2)
    return made


def verified(project: ViewProject, **options) -> VerifyResult:
    views = [(project.view, source(project.data, project.view))]
    (found,) = verify.run(
        views, OnlineProject("tests", SyncOnlineStore(project.redis, "tests"), project.state), **options
    )
    return found


def put(project: ViewProject, one: Row) -> None:
    project.redis.hset(key(one.key[0]), project.view.name, packed_row(one))


def key(tail: str) -> bytes:
    return entity_key("tests", {"tail": ("String", tail)})


def test_a_store_that_is_as_it_should_be(project: ViewProject):
    found = verified(project)
    assert (found.watermark, found.compared, found.ahead, found.differences) == (at(2), 3, 0, 0)
    assert found.examples == []


def test_a_view_that_was_never_materialized_is_not_compared(tmp_path: Path, state: StateDatabase, redis: Redis):
    found = verified(ViewProject(tmp_path, state, redis))
    assert (found.watermark, found.compared) == (None, 0)


def test_every_kind_of_difference_is_found_named_and_mended(project: ViewProject):
    project.redis.hdel(key("N1"), "seen")
    put(project, row("N2", 0, 0, 9))
    put(project, row("N3", 1, 1, 9))
    put(project, row("N4", 1.5, 1.5))
    put(project, row("N5", 0, 0))
    found = verified(project)
    assert found.counts == {"missing": 1, "stale": 1, "different": 1, "extra": 2}
    assert found.compared == 5
    assert any("stale tail='N2': offline event 2013-10-01T13:00:00+00:00" in example for example in found.examples)
    assert verified(project, repair=True).repaired == 5
    assert verified(project).differences == 0
    for tail in ("N1", "N2", "N3"):
        assert project.online_row(tail) == packed_row(row(tail, 1, 1, 2 if tail == "N1" else 1))
    assert project.online_row("N4") is None


def test_a_row_that_is_newer_than_all_that_is_known_and_not_offline_is_removed(project: ViewProject):
    put(project, row("N2", 1.5, 1.5, 9))
    assert verified(project, repair=True).counts == {"different": 1}
    assert project.online_row("N2") == packed_row(row("N2", 1, 1))


def test_pushed_rows_are_ahead_and_stay(project: ViewProject):
    pushed = [row("N1", 2.5, 2.5), row("N2", 1, 3), row("N7", 3, 3)]
    for one in pushed:
        put(project, one)
    found = verified(project, repair=True)
    assert (found.differences, found.ahead) == (0, 3)
    assert [project.online_row(one.key[0]) for one in pushed] == [packed_row(one) for one in pushed]


def test_bytes_that_are_no_row_and_keys_that_are_no_hash(project: ViewProject):
    project.redis.hset(key("N1"), "seen", b"noise")
    project.redis.delete(key("N2"))
    project.redis.set(key("N2"), "a text")
    found = verified(project)
    assert found.counts == {"stale": 1, "missing": 1}
    project.redis.delete(key("N2"))
    assert verified(project, repair=True).repaired == 2
    assert verified(project).differences == 0


def test_other_views_and_projects_do_not_matter(project: ViewProject):
    project.redis.hset(key("N5"), "other", b"x")
    project.redis.hset(entity_key("mytests", {"tail": ("String", "N5")}), "seen", packed_row(row("N5", 0, 0)))
    project.redis.hset(entity_key("tests", {"wing": ("String", "N5")}), "seen", packed_row(row("N5", 0, 0)))
    assert verified(project).differences == 0


def test_a_row_that_changes_before_it_is_mended_stays(project: ViewProject):
    put(project, row("N5", 0, 0))
    pushed = row("N5", 3, 3)
    discard = SyncOnlineStore.discard

    def meanwhile(*args):
        put(project, pushed)
        return discard(*args)

    with patch.object(SyncOnlineStore, "discard", meanwhile):
        assert verified(project, repair=True).counts == {"extra": 1}
    assert project.online_row("N5") == packed_row(pushed)


def test_late_rows_of_a_view_that_is_known_by_its_event_time(tmp_path: Path, state: StateDatabase, redis: Redis):
    """They may be there already or not yet: neither is a difference."""
    project = ViewProject(tmp_path / "data", state, redis, TRUE)
    project.write(row("N1", 0, 0, 1), row("N1", 1, 5, 2))
    project.run(2)
    assert project.online_row() == packed_row(row("N1", 1, 5, 2))
    assert verified(project).differences == 0
    project.write(row("N1", 1.5, 6, 3))
    assert verified(project).differences == 0


def test_a_sample_looks_at_some_entities_and_another_seed_at_others(project: ViewProject):
    project.redis.flushall()
    project.write(*[row(f"N{number}", 1, 1) for number in range(100, 300)])
    project.run(2, full=True)
    project.redis.hset(key("N200"), "seen", b"noise")
    looked = [verified(project, sample=EntitySample(4, seed)) for seed in range(40)]
    assert 25 * 203 / 100 - 30 < sum(one.compared for one in looked) / 40 < 25 * 203 / 100 + 30
    assert verified(project, sample=EntitySample(4, 7)).compared == looked[7].compared
    assert 2 <= sum(one.differences for one in looked) <= 20, "each entity is in one sample of four"
    clean, dirty = (next(one for one in looked if one.differences == number) for number in (0, 1))
    assert f"{clean.compared} compared (one entity in 4, seed {looked.index(clean)}: fewer than " in str(clean)
    assert f"seed {looked.index(dirty)}), 1 stale" in str(dirty)
    assert clean.as_json()["sample"] == {"of": 4, "seed": looked.index(clean)}


def test_what_a_clean_sample_says_of_all():
    """Of n entities that were drawn none differs: with 95% confidence less than 3 in n of all do."""
    assert "fewer than 0.30% of all differ" in EntitySample(10, 1).summary(1_000, 0)
    assert EntitySample().summary(1_000, 0) == ""


def test_an_entityless_view(tmp_path: Path, state: StateDatabase, redis: Redis):
    project = ViewProject(tmp_path / "data", state, redis, msgspec.structs.replace(SEEN, join_keys=()))
    project.write(Row((), to_micros(at(0)), to_micros(at(0)), False, (1,), SEEN.fields))
    project.run(1)
    assert (verified(project).compared, verified(project).differences) == (1, 0)


ENTITIES = st.sampled_from([JoinKey("tail", "tail", "String")])
TIMES = st.integers(0, 3)


@given(st.lists(st.tuples(TIMES, TIMES), max_size=3), st.lists(st.tuples(TIMES, TIMES), max_size=2), TIMES)
def test_nothing_is_wrong_exactly_where_redis_holds_the_newest_row_or_one_of_later(known, written, watermark):
    """The rule in words, for one entity: rows known offline, of which some were written, and others too."""
    rows = [packed_row(Row((), event, max(event, created), False, (0,), SEEN.fields)) for event, created in known]
    due = merged(("k", one) for one in rows if max(times(one)) <= watermark).get("k")
    for event, created in written:
        held = packed_row(Row((), event, created, False, (0,), SEEN.fields))
        wrong = held != due and max(event, created) <= watermark
        assert (classify(SEEN.rule, due, held, watermark) is not None) == wrong
    assert classify(SEEN.rule, due, None, watermark) == (StoreDifference.MISSING if due else None)


def meanwhile(monkeypatch: pytest.MonkeyPatch, what: Callable[[], object]) -> None:
    """Happens when the table has been read, and before Redis is."""
    look = SyncOnlineStore.keys_like

    def then(self: SyncOnlineStore, view: PlanView) -> Iterator[pa.BinaryArray]:
        what()
        return look(self, view)

    monkeypatch.setattr(SyncOnlineStore, "keys_like", then)


@pytest.mark.parametrize("repair", [False, True])
def test_rows_that_are_pushed_while_it_looks_are_no_differences(project: ViewProject, monkeypatch, repair: bool):
    """Late ones, whose times lie before the watermark: of an entity that is there, and of one that was not."""
    late = [row("N1", 1.5, 1.5, 3), row("N7", 0, 0)]

    def pushed() -> None:
        project.write(*late)
        for one in late:
            put(project, one)

    put(project, row("N3", 1, 1, 9))
    meanwhile(monkeypatch, pushed)
    found = verified(project, repair=repair)
    assert (found.counts, found.ahead, found.repaired) == ({"different": 1}, 2, int(repair))
    assert [project.online_row(one.key[0]) for one in late] == [packed_row(one) for one in late]
    monkeypatch.undo()
    assert verified(project).differences == int(not repair)


def test_a_table_that_is_rewritten_while_it_looks_hides_nothing(project: ViewProject, monkeypatch):
    """As a compaction does: other files, the same rows."""
    files = source(project.data, project.view).files()

    def rewritten() -> None:
        for file in files:
            pq.write_table(pq.read_table(file), file, compression="gzip")

    put(project, row("N3", 1, 1, 9))
    put(project, row("N4", 1.5, 1.5))
    meanwhile(monkeypatch, rewritten)
    assert verified(project).counts == {"different": 1, "extra": 1}


def test_a_repair_waits_for_its_turn_and_a_look_does_not(project: ViewProject):
    """An erasure that ended between a repair's looks would see its subject written again."""
    with project.state.lock("tests", ["seen"], "erase"):
        assert verified(project).differences == 0
        with pytest.raises(LockBusy, match="`skewless erase`"):
            verified(project, repair=True, wait=timedelta(0))
    project.redis.hdel(key("N1"), "seen")

    def busy() -> None:
        with (
            pytest.raises(LockBusy, match="`skewless verify`"),
            project.state.lock("tests", ["seen"], "erase", timedelta(0)),
        ):
            raise AssertionError("two have the lock")

    with pytest.MonkeyPatch.context() as patched:
        meanwhile(patched, busy)
        assert verified(project, repair=True).repaired == 1
