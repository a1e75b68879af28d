"""The audit: what was served on a real Valkey is the join's, and every way in which it is not is counted and named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import Entity, FeatureStore, FeatureView, FileSource, ValueType
from feast import Field as FeastField
from feast.types import Float32, Float64, Int64, String, UnixTimestamp
from redis import Redis
from typer.testing import CliRunner

from skewless.cli import app
from skewless.monitoring.audit.audit import AuditResult
from skewless.monitoring.served_log.ground_truth import GroundTruth
from skewless.online.store.store import SyncOnlineStore
from skewless.registry.bundle_folder import open_bundle
from skewless.registry.cpu_features import processor_features
from skewless.runtime.errors import StepInputMissing
from tests.models import tiny
from tests.monitoring.audit.audited_store import STORE
from tests.monitoring.served_project import DELAYS, HOUR, NOON, PLANES, World, delays, history
from tests.tables.histories import write
from tests.tables.served_rows import served_batch


@pytest.fixture
def world(tmp_path: Path, redis_url: str) -> World:
    folder = tiny.write_bundle(tmp_path / "models", "1.0.0")
    tiny.promote(tmp_path / "models", "1.0.0")
    world = World(tmp_path, open_bundle(folder, processor_features()))
    history(world.data)
    with Redis.from_url(redis_url) as redis:
        world.serve(redis)
    return world


def test_what_was_served_is_what_training_sees(world: World):
    found = world.audit()
    assert found.clean
    assert (found.rows, found.values, found.columns, found.views, found.examples) == (9, 45, {}, {}, [])
    assert str(found) == ("tiny 1.0.0: 0 of 45 feature values differ, 0 of 18 statuses differ, 0 of 9 scores differ")
    means = [row[0] for row in pq.read_table(world.file, partitioning=None).column("model_input").to_pylist()]
    assert means[::3] == [5.5, 7.25, 7.25], "the values did change on the way"


def test_start_is_included_and_end_is_not(world: World):
    assert world.audit(NOON, NOON + HOUR).rows == 3
    assert world.audit(NOON + HOUR, NOON + 3 * HOUR).rows == 3
    empty = world.audit(NOON + 5 * HOUR)
    assert (empty.rows, empty.values, empty.clean) == (0, 0, True)


def test_one_bit_of_a_model_input_is_found(world: World):
    def flip(rows: list) -> None:
        value = np.array([rows[3][0]], np.float32)
        rows[3][0] = (value.view(np.uint32) ^ 1).view(np.float32)[0]

    world.change("model_input", flip)
    found = world.audit()
    assert not found.clean
    assert (found.differing_values, found.differing_statuses, found.columns) == (1, 0, {"mean": 1})
    (example,) = found.examples
    assert "request r1 row 0 at 2013-10-01 13:00:00" in example
    assert "mean was served as 7.2500005 and the join gives 7.25" in example


def test_a_null_that_was_served_as_a_number_is_found(world: World):
    world.change("model_input", lambda rows: rows[1].__setitem__(0, 0.0))
    assert world.audit().columns == {"mean": 1}


def test_defaults_for_a_store_that_failed_are_told_apart(world: World, redis_url: str):
    with Redis.from_url(redis_url) as redis:
        served = world.answer(SyncOnlineStore(redis, "tests"), "r9", NOON + 4 * HOUR, unread="delays")
    last = world.file.with_name("part-1.parquet")
    pq.write_table(pa.Table.from_batches([served_batch(world.bundle.plan, "tiny", "1.0.0", served)]), last)
    found = world.audit()
    assert found.clean
    assert (found.rows, found.differing_values, found.unread_views) == (12, 0, 3)
    whole = world.audit(NOON + 3 * HOUR, NOON + 4 * HOUR)
    assert whole.unread_views == whole.unread_values == 0
    assert found.unread_values > 0
    assert str(found).endswith(
        "0 of 12 scores differ; 3 views were not read because the online store failed, and "
        f"{found.unread_values} feature values were defaults for it"
    )
    # What is logged as not read and yet holds a value is a difference.
    world.file = last
    world.change("model_input", lambda rows: rows[0].__setitem__(0, 7.25))
    assert world.audit().columns == {"mean": 1}


def test_another_status_is_found(world: World):
    world.change("delays:status", lambda statuses: statuses.__setitem__(0, 3))
    found = world.audit()
    assert not found.clean
    assert (found.differing_values, found.differing_statuses, found.views) == (0, 1, {"delays": 1})
    assert str(found).startswith("tiny 1.0.0: 0 of 45 feature values differ, 1 of 18 statuses differ")
    (example,) = found.examples
    assert "row 0" in example
    assert "feature view delays was served as STALE and the join gives PRESENT" in example


def test_another_score_is_found(world: World):
    world.change("score", lambda scores: scores.__setitem__(4, 0.5))
    found = world.audit()
    assert (found.clean, found.differing_values, found.differing_scores) == (False, 0, 1)
    assert "request r1 row 1" in found.examples[0]
    assert "the score was served as 0.5 and the logged input scores" in found.examples[0]


def test_a_row_that_came_late_and_says_so_changes_nothing(world: World):
    write(world.data, DELAYS, [delays("JFK", NOON - HOUR / 2, NOON + 8 * HOUR, 99.0)])
    assert world.audit().clean


def test_a_row_that_came_late_and_does_not_say_so_is_found(world: World):
    write(world.data, DELAYS, [delays("JFK", NOON - HOUR / 2, NOON - HOUR / 2, 99.0)])
    found = world.audit()
    assert found.columns == {"mean": 1, "swell": 1}
    assert found.differing_values == 2
    assert found.views == {}, "a value was there before, too"
    write(world.data, DELAYS, [delays("XXX", NOON, NOON, 1.0)])
    assert world.audit().views == {"delays": 3}


def test_examples_are_few_of_each_kind(world: World):
    world.change("delays:status", lambda statuses: statuses.__setitem__(slice(None), [1] * 9))
    world.change("score", lambda scores: scores.__setitem__(slice(None), [0.5] * 9))
    found = world.audit()
    assert (found.differing_statuses, found.differing_scores, len(found.examples)) == (9, 9, 10)


def test_a_log_that_is_not_there_is_told(world: World):
    assert world.log.rows("tiny") == 9
    assert world.log.rows("other") == 0
    with pytest.raises(StepInputMissing, match=r"a served log of tiny 2\.0\.0 .*`skewless serve`"):
        world.log.read("tiny", "2.0.0", NOON, NOON)
    (world.file.parent / ".half.parquet").write_bytes(b"PAR1")
    assert world.log.rows("tiny") == 9


@pytest.fixture
def command(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., object]:
    monkeypatch.setenv("SKEWLESS_STATE", str(tmp_path))
    repo = tmp_path / "feature_repo"
    repo.mkdir()
    (repo / "feature_store.yaml").write_text(STORE.format(folder=repo))
    types = {"Float32": Float32, "Float64": Float64, "Int64": Int64, "String": String, "UnixTimestamp": UnixTimestamp}
    objects = []
    for view in (DELAYS, PLANES):
        (key,) = view.join_keys
        entity = Entity(name=key.name, join_keys=[key.name], value_type=ValueType.STRING)
        place = FileSource(
            name=view.name,
            path=view.name,
            timestamp_field="event_timestamp",
            created_timestamp_column="created_timestamp",
        )
        schema = [FeastField(name=field.name, dtype=types[field.dtype]) for field in view.fields]
        objects += [entity, FeatureView(name=view.name, entities=[entity], schema=schema, source=place)]
    FeatureStore(repo_path=str(repo)).apply(objects)
    monkeypatch.setenv("SKEWLESS_FEATURE_REPO", str(repo))
    return lambda *words: CliRunner().invoke(app, ["audit", "--model", "tiny", *words])


@pytest.mark.filterwarnings("ignore::RuntimeWarning:feast", "ignore::DeprecationWarning")
def test_the_exit_status_of_the_verb(world: World, command, tmp_path: Path):
    clean = command("--to", "2014-01-01")
    assert clean.exception is None or clean.exit_code == 0, repr(clean.exception)
    assert (clean.exit_code, "0 of 45 feature values differ" in clean.output) == (0, True)
    assert (tmp_path / "reports" / "audit-tiny-1.0.0.json").exists()
    world.change("score", lambda scores: scores.__setitem__(0, 0.5))
    wrong = command("--to", "2014-01-01", "--version", "1.0.0")
    assert wrong.exit_code == 1
    assert "1 of 9 scores differ" in wrong.output
    assert "the score was served as" in wrong.output
    assert command("--from", "2013-10-01T13:00", "--to", "2014-01-01").exit_code == 0
    assert command("--from", "noon").exit_code == 2


@pytest.mark.filterwarnings("ignore::RuntimeWarning:feast", "ignore::DeprecationWarning")
def test_the_verb_tells_causes_their_price_and_the_live_performance(world: World, command, tmp_path: Path):
    write(world.data, DELAYS, [delays("JFK", NOON - HOUR / 2, NOON - HOUR / 2, 99.0)])
    labels = pa.table({"request_id": ["r0", "r0", "r1", "r2"], "row": pa.array([0, 1, 0, 2], pa.int32()),
                       "label": [0.0, 1.0, 1.0, 0.0]})  # fmt: skip
    GroundTruth(tmp_path / "served", "tiny").add(labels, NOON)
    told = command("--to", "2014-01-01")
    assert told.exit_code == 1
    assert "cause: late data, delays: 1 rows, 2 values, 0 statuses" in told.output
    assert "price: 1 scores are off" in told.output
    assert "live: AUC" in told.output
    page = (tmp_path / "reports" / "audit-tiny-1.0.0.html").read_text()
    for words in ("Causes", "Late data", "What to do:", "The price", "Live performance", "Calibration"):
        assert words in page
    found = msgspec.json.decode((tmp_path / "reports" / "audit-tiny-1.0.0.json").read_bytes(), type=AuditResult)
    assert (found.causes[0].cause, found.live.rows) == ("late data", 4)
    metrics = (tmp_path / "reports" / "audit-tiny-1.0.0.prom").read_text()
    assert 'skewless_audit_cause_rows{cause="late data",model="tiny",version="1.0.0",view="delays"} 1.0' in metrics
    assert 'skewless_live{measure="rows",model="tiny",version="1.0.0"} 4.0' in metrics
