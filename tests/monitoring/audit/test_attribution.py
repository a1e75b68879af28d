"""Every way in which served values come to differ, provoked on a real Valkey and real tables, has its own name."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import msgspec
import ndonnx as ndx
import pyarrow.parquet as pq
import pytest
from redis import Redis

from skewless.contract.admission import FeatureStatus
from skewless.contract.model.assembler import Assembler
from skewless.contract.model.transforms import reference
from skewless.contract.plan import TransformOutput
from skewless.monitoring.audit.attribution import CausedDifferences
from skewless.monitoring.audit.audit import AuditResult
from skewless.online.maintenance import expiry
from skewless.online.store.online_project import OnlineProject
from skewless.online.store.store import SyncOnlineStore
from skewless.registry.bundle_folder import open_bundle
from skewless.registry.cpu_features import processor_features
from tests.models import tiny
from tests.monitoring.served_project import HOUR, NOON, World, delays, history, plane
from tests.oracles import entity_key, packed_row
from tests.tables.histories import table, write

DELAYS = msgspec.structs.replace(tiny.DELAYS, deleted_field="gone")


@pytest.fixture
def redis(redis_url: str):
    with Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def world(tmp_path: Path, redis: Redis) -> World:
    folder = tiny.write_bundle(tmp_path / "models", "1.0.0", contract=tiny.plan(delays=DELAYS))
    world = World(tmp_path, open_bundle(folder, processor_features()))
    history(world.data, DELAYS)
    world.serve(redis)
    return world


def causes(found: AuditResult) -> dict[tuple[str, str], CausedDifferences]:
    """By cause and view, after a check that every difference has exactly one."""
    real = [one for one in found.causes if one.cause != "default used"]
    assert sum(one.values for one in real) == found.differing_values
    assert sum(one.statuses for one in real) == found.differing_statuses
    assert sum(one.rows for one in real if one.cause == "score") == found.differing_scores
    assert found.clean == (not real)
    assert all(1 <= len(one.examples) <= 3 for one in found.causes)
    return {(one.cause, one.view): one for one in found.causes}


def only(found: AuditResult) -> CausedDifferences:
    (one,) = causes(found).values()
    return one


def add(world: World, *rows) -> None:
    write(world.data, DELAYS, rows)


def test_nothing_differs_and_nothing_has_a_cause(world: World):
    assert causes(world.audit()) == {}


def test_rows_that_were_removed_long_out_of_their_ttl(world: World, redis: Redis):
    """JFK's is gone, where the join knows a stale one; LGA's is older than the tombstone that was removed before it."""
    add(world, replace(delays("LGA", NOON + HOUR, NOON + HOUR, None), deleted=True))
    world.materialize(redis, NOON + 40 * HOUR)
    project = world.bundle.plan.project
    with closing(world.state()) as state:
        assert expiry.run([DELAYS], OnlineProject(project, SyncOnlineStore(redis, project), state)) == {"delays": 2}
    add(world, delays("LGA", NOON, NOON + 41 * HOUR, 9.0))
    world.materialize(redis, NOON + 42 * HOUR)
    world.log_another(redis, NOON + 42 * HOUR)
    answers = pq.read_table(next((world.root / "served").rglob("part-1.parquet")), partitioning=None)
    served = [FeatureStatus(status) for status in answers.column("delays:status").to_pylist()]
    assert served == [FeatureStatus.NOT_FOUND, FeatureStatus.STALE, FeatureStatus.NOT_FOUND]
    assert causes(world.audit(NOON + 41 * HOUR, NOON + 43 * HOUR)) == {}


def test_a_row_that_waited_for_its_materialization(world: World, redis: Redis):
    add(world, delays("JFK", NOON + 3.5 * HOUR, NOON + 3.6 * HOUR, 9.0))
    world.log_another(redis, NOON + 4 * HOUR)
    found = only(world.audit())
    assert (found.cause, found.view, found.rows, found.values) == ("not yet materialized", "delays", 1, 3)
    assert "delays of JFK was served PRESENT, the row of 2013-10-01 13:00:00; the join uses" in found.examples[0]
    # A run that takes the row and ends too late changes nothing; one that had ended makes the row a late one.
    world.materialize(redis, NOON + 3.9 * HOUR, finished=NOON + 5 * HOUR)
    assert only(world.audit()).cause == "not yet materialized"


def test_an_entity_that_waited_for_its_first_row(world: World, redis: Redis):
    add(world, delays("XXX", NOON + 3.5 * HOUR, NOON + 3.5 * HOUR, 9.0))
    world.log_another(redis, NOON + 4 * HOUR)
    found = only(world.audit())
    assert (found.cause, found.statuses) == ("not yet materialized", 1)
    assert "delays of XXX was served NOT_FOUND, no row; the join uses PRESENT" in found.examples[0]


def test_a_late_row(world: World):
    add(world, delays("JFK", NOON - HOUR / 2, NOON - HOUR / 2, 99.0))
    found = only(world.audit())
    assert (found.cause, found.view, found.rows, found.values, found.statuses) == ("late data", "delays", 1, 2, 0)
    assert found.score_shift > 0


def test_a_row_that_came_after_serving_where_event_time_decides(world: World):
    first = plane("N1", 13.0)
    late = replace(first, event=first.event + 1, created=first.created + 10**12)
    write(world.data, tiny.PLANES, [late])
    found = only(world.audit())
    assert (found.cause, found.view, found.rows) == ("late data", "planes", 3)


def test_a_correction_that_came_late(world: World):
    add(world, delays("JFK", NOON + HOUR, NOON + 1.25 * HOUR, 8.0, None))
    found = only(world.audit())
    assert (found.cause, found.rows, found.values) == ("correction", 1, 2)


def test_a_correction_that_took_the_place_of_its_row(world: World):
    first = plane("N1", 20.0)
    (file,) = (world.data / "planes").rglob("*.parquet")
    pq.write_table(table(tiny.PLANES, [replace(first, created=first.created + 1)]), file)
    found = only(world.audit())
    assert (found.cause, found.view, found.rows, found.values) == ("correction", "planes", 3, 3)


def test_a_deletion_that_came_late(world: World):
    add(world, replace(delays("JFK", NOON + 1.1 * HOUR, NOON + 1.1 * HOUR, None), deleted=True))
    found = only(world.audit())
    assert (found.cause, found.rows, found.statuses) == ("deletion", 1, 1)


def test_a_deletion_that_waits_is_not_yet_materialized(world: World, redis: Redis):
    add(world, replace(delays("JFK", NOON + 3.5 * HOUR, NOON + 3.5 * HOUR, None), deleted=True))
    world.log_another(redis, NOON + 3.75 * HOUR)
    assert only(world.audit()).cause == "not yet materialized"


def test_a_definition_that_changed_with_its_table(world: World):
    (file,) = (world.data / "planes").rglob("*.parquet")
    pq.write_table(table(tiny.PLANES, [plane("N1", 144.0)]), file)
    assert only(world.audit()).cause == "corruption", "as long as nobody says that it means something else now"
    world.today["planes"] = msgspec.structs.replace(tiny.PLANES, ttl_us=86_400_000_000)
    found = only(world.audit())
    assert (found.cause, found.view, found.rows) == ("definition changed", "planes", 3)


def test_a_definition_that_changed_explains_no_late_row(world: World):
    world.today["delays"] = msgspec.structs.replace(DELAYS, ttl_us=1)
    assert world.audit().clean
    add(world, delays("JFK", NOON - HOUR / 2, NOON - HOUR / 2, 99.0))
    assert only(world.audit()).cause == "late data"


def test_a_corrupt_row_in_the_store(world: World, redis: Redis):
    altered = delays("JFK", NOON + HOUR, NOON + HOUR, 7.5, None)
    redis.hset(entity_key("tests", {"origin": ("String", "JFK")}), "delays", packed_row(altered))
    world.log_another(redis, NOON + 3 * HOUR)
    found = only(world.audit())
    assert (found.cause, found.view, found.rows, found.values) == ("corruption", "delays", 1, 2)


def test_a_row_from_nowhere_in_the_store(world: World, redis: Redis):
    unknown = delays("LGA", NOON + 2 * HOUR, NOON + 2 * HOUR, 3.0)
    redis.hset(entity_key("tests", {"origin": ("String", "LGA")}), "delays", packed_row(unknown))
    world.log_another(redis, NOON + 3 * HOUR)
    assert only(world.audit()).cause == "corruption"


def test_a_transform_that_gives_something_else(world: World, redis: Redis):
    mean, hour = (ndx.argument(shape=("N",), dtype=kind) for kind in (ndx.float32, ndx.float64))
    swell = mean * ndx.astype(ndx.sin(hour * 2.0), ndx.float32)
    inputs = {reference(tiny.RUSH.inputs[0][1]): mean, "hour": hour}
    other = ndx.build(inputs, {reference(TransformOutput("rush", "swell")): swell}).SerializeToString()
    world.log_another(redis, NOON + 3 * HOUR, assembler=Assembler(world.bundle.plan, other))
    found = only(world.audit())
    assert (found.cause, found.view, found.rows, found.values) == ("transform", "rush", 1, 1)


def test_defaults_for_a_store_that_failed(world: World, redis: Redis):
    world.log_another(redis, NOON + 3 * HOUR, unread="delays")
    audited = world.audit()
    found = only(audited)
    assert audited.clean
    assert (found.cause, found.view, found.rows, found.values) == ("default used", "delays", 3, audited.unread_values)
    assert found.values > 0
    assert audited.score_impact
    assert audited.score_impact.rows == 1, "what the failure cost is in the price"


def test_a_store_that_is_ahead_of_the_request(world: World, redis: Redis):
    world.log_another(redis, NOON + 0.5 * HOUR)
    found = only(world.audit())
    assert (found.cause, found.view, found.rows) == ("store ahead", "delays", 1)


def test_a_score_that_the_model_does_not_give(world: World):
    world.change("score", lambda scores: scores.__setitem__(4, 0.5))
    found = only(world.audit())
    assert (found.cause, found.view, found.rows, found.values) == ("score", "(score)", 1, 0)


def test_a_log_that_was_altered(world: World):
    world.change("request:hour", lambda hours: hours.__setitem__(0, 7))
    found = causes(world.audit())
    assert {(cause, view): one.values for (cause, view), one in found.items()} == {
        ("corruption", "(request)"): 1,
        ("transform", "rush"): 1,
    }
    world.change("delays:status", lambda statuses: statuses.__setitem__(1, 3))
    assert causes(world.audit())["corruption", "delays"].rows == 1


def test_causes_stand_side_by_side(world: World, redis: Redis):
    add(world, delays("JFK", NOON + 3.5 * HOUR, NOON + 3.6 * HOUR, 9.0), delays("LGA", NOON, NOON, 4.0))
    world.log_another(redis, NOON + 4 * HOUR)
    world.change("score", lambda scores: scores.__setitem__(4, 0.5))
    found = causes(world.audit())
    assert set(found) == {("not yet materialized", "delays"), ("late data", "delays"), ("score", "(score)")}
