"""The audit: what was served on a real Valkey is the join's, and every way in which it is not is counted and named."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
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

from pipelines import audit, materialize
from pipelines.audit import Audited, ServedLog
from pipelines.cli import app
from pipelines.errors import NotTrained
from pipelines.materialize import plan_windows
from pipelines.online import OnlineWriter
from pipelines.state import State
from serving.contract.assembler import Admitted
from serving.contract.bundle import Bundle, open_bundle
from serving.contract.freshness import Status
from serving.contract.instants import to_micros
from serving.contract.online import OnlineRead
from serving.contract.processor import processor_features
from serving.contract.record import Served, served_batch
from serving.contract.row import Values
from tests import tiny
from tests.oracles import Row
from tests.pipelines.worlds import source, sources, write

NOON = datetime(2013, 10, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
ASKED = [("JFK", "N1", 8), ("LGA", "N2", 9), ("XXX", None, 23)]
DELAYS, PLANES = tiny.DELAYS, tiny.PLANES


def delays(origin: str, event: datetime, created: datetime, mean: float | None, departures: int | None = 4) -> Row:
    value = None if mean is None else np.float32(mean)
    return Row((origin,), to_micros(event), to_micros(created), False, (value, departures, "A"), DELAYS.fields)


def plane(tail: str, age: float) -> Row:
    known = to_micros(NOON - 100 * HOUR)
    return Row((tail,), known, known, False, (np.float64(age), known), PLANES.fields)


def history(data: Path) -> None:
    rows = [
        delays("JFK", NOON - HOUR, NOON - HOUR, 5.5),
        delays("JFK", NOON + HOUR, NOON + HOUR, 7.25, None),
        delays("JFK", NOON - HOUR, NOON + 1.5 * HOUR, 6.0),
        delays("LGA", NOON - 2 * HOUR, NOON - HOUR, None),
    ]
    write(data, DELAYS, rows)
    write(data, PLANES, [plane("N1", 12.0)])


class World:
    """What a server did at three instants, and its log."""

    def __init__(self, root: Path, bundle: Bundle) -> None:
        self.root, self.bundle = root, bundle
        self.data, self.log = root / "data", ServedLog(root / "served")
        self.file = root / "served" / "model=tiny" / "version=1.0.0" / "day=2013-10-01" / "part-0.parquet"

    def serve(self, redis: Redis) -> None:
        plan = self.bundle.plan
        store, batches = OnlineWriter(redis, plan.project), []
        with closing(State(f"sqlite:///{self.root / 'state.db'}")) as state:
            views = [(view, source(self.data, view)) for view in plan.views]
            for number, hours in enumerate((0, 1, 3)):
                at = NOON + hours * HOUR
                windows = plan_windows(state, plan.project, views, end=at)
                materialize.run(windows, store, state, plan.project, clock=lambda: NOON)
                batches.append(served_batch(plan, "tiny", "1.0.0", self.answer(store, f"r{number}", at)))
        self.file.parent.mkdir(parents=True)
        pq.write_table(pa.Table.from_batches(batches), self.file)

    def answer(self, store: OnlineWriter, name: str, at: datetime, *, unread: str = "") -> Served:
        """`unread`: a view that the store does not give; its defaults are used."""
        assembler = self.bundle.assembler
        entities = {"origin": [o for o, _, _ in ASKED], "tailnum": [t for _, t, _ in ASKED]}
        request = {"hour": Values(np.array([hour for *_, hour in ASKED]), np.ones(3, bool))}
        reader = OnlineRead(self.bundle.plan, assembler.wanted)
        batch = reader.batch(entities, 3)
        views = reader.decode(batch, store.read(batch.lookups), to_micros(at))
        if unread:
            views[unread] = Admitted(views[unread].rows, np.full(3, Status.NOT_READ, np.uint8))
        matrix = assembler.assemble(views, request)
        return Served(name, to_micros(at), entities, request, views, matrix, self.bundle.scorer.score(matrix))

    def audit(self, start: datetime = NOON, end: datetime = NOON + 9 * HOUR) -> Audited:
        return audit.run(self.bundle, sources(self.data, self.bundle.plan), self.log, start, end)

    def change(self, column: str, change: Callable[[list], None]) -> None:
        """Falsify a column of the log."""
        table = pq.read_table(self.file, partitioning=None)
        values = table.column(column).to_pylist()
        change(values)
        place = table.column_names.index(column)
        field = table.schema.field(column)
        pq.write_table(table.set_column(place, field, pa.array(values, field.type)), self.file)


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
    assert "mean was served as np.float32(7.2500005) and the join gives np.float32(7.25)" in example


def test_a_null_that_was_served_as_a_number_is_found(world: World):
    world.change("model_input", lambda rows: rows[1].__setitem__(0, 0.0))
    assert world.audit().columns == {"mean": 1}


def test_defaults_for_a_store_that_failed_are_told_apart(world: World, redis_url: str):
    with Redis.from_url(redis_url) as redis:
        served = world.answer(OnlineWriter(redis, "tests"), "r9", NOON + 4 * HOUR, unread="delays")
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
    assert "the score was served as np.float32(0.5) and the logged input scores" in found.examples[0]


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
    with pytest.raises(NotTrained, match=r"a served log of tiny 2\.0\.0 .*`skewless serve`"):
        world.log.read("tiny", "2.0.0", NOON, NOON)
    (world.file.parent / ".half.parquet").write_bytes(b"PAR1")
    assert world.log.rows("tiny") == 9


def test_the_report_is_json(world: World, tmp_path: Path):
    found = world.audit()
    path = audit.write_report(tmp_path / "reports", found)
    assert path.name == "audit-tiny-1.0.0.json"
    assert msgspec.json.decode(path.read_bytes(), type=Audited) == found


STORE = """
project: tests
provider: local
registry: {{registry_type: sql, path: "sqlite:///{folder}/registry.db"}}
offline_store: {{type: pipelines.feast_stores.offline_store.SkewlessOfflineStore}}
online_store: {{type: sqlite, path: "{folder}/online.db"}}
entity_key_serialization_version: 3
"""


@pytest.fixture
def command(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., object]:
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
    monkeypatch.setenv("SKEWLESS_STATE", str(tmp_path))
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
