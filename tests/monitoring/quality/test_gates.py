"""The two doors: a refused batch reaches neither the table nor Redis, is kept aside, and says why."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import msgspec
import pyarrow.parquet as pq
import pytest
from redis import Redis

from skewless.contract.errors import InvalidRows
from skewless.contract.plan import Field, JoinKey, PlanView
from skewless.contract.storage.push_target import PushTarget
from skewless.contract.timestamps import to_micros
from skewless.definitions.expectations import ColumnExpectation, ValueBounds, ViewExpectations
from skewless.monitoring.quality.gates import QualityGate, QualityGates, QualityRefused, RefusalReason
from skewless.offline.tables import day_partitions
from skewless.online.materialization import materialize
from skewless.online.materialization.materialize import plan_windows
from skewless.online.push import push
from skewless.online.store.online_project import OnlineProject
from skewless.online.store.store import SyncOnlineStore
from skewless.state.database import StateDatabase
from tests.oracles import Row, entity_key
from tests.tables.histories import source, table, write

NOON = datetime(2013, 10, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
VIEW = PlanView(
    "seen", "seen", (JoinKey("tail", "tail", "String"),), (Field("miles", "Int64"),), 0, "created_timestamp"
)
DAY = date(2013, 10, 1)
EXPECTED = ViewExpectations(
    "seen",
    (ColumnExpectation("miles", ValueBounds(0.0, 100.0)),),
    rows_per_day=ValueBounds(2.0, 50.0),
    fresh_within=2 * HOUR,
)


def row(tail: str, hours: float, miles: int | None) -> Row:
    at = to_micros(NOON + hours * HOUR)
    return Row((tail,), at, at, False, (miles,), VIEW.fields)


@pytest.fixture
def gate(tmp_path: Path) -> QualityGate:
    return QualityGate(VIEW, source(tmp_path / "data", VIEW), EXPECTED, tmp_path / "quarantine")


def ingest(gate: QualityGate, *rows: Row) -> None:
    batches = table(VIEW, rows).to_batches()
    day_partitions.write(gate.source.path, batches, ("tail",), DAY, date(2013, 10, 2), gate.check_day)


def kept(gate: QualityGate) -> list[Path]:
    return sorted((gate.quarantine / "seen").iterdir()) if gate.quarantine.exists() else []


def test_a_refused_day_leaves_the_table_as_it_was(gate: QualityGate):
    good, bad = [row("N1", 1, 7), row("N2", 11, 8)], [row("N1", 1, 7), row("N2", 11, -8)]
    ingest(gate, *good)
    before = day_partitions.day_file(gate.source.path, DAY).read_bytes()
    for _ in range(2):
        with pytest.raises(
            QualityRefused, match=r"rows of 2013-10-01 are refused: range of miles: 1 of 2 .*-8.*--view seen"
        ):
            ingest(gate, *bad)
    assert day_partitions.day_file(gate.source.path, DAY).read_bytes() == before
    assert len(kept(gate)) == 1, "the same batch is kept once"
    (place,) = kept(gate)
    assert pq.read_table(place / "rows.parquet").column("miles").to_pylist() == [7, -8]
    reason = msgspec.json.decode((place / "reason.json").read_bytes(), type=RefusalReason)
    assert (reason.view, reason.stage, reason.batch) == ("seen", "ingest", "2013-10-01")
    assert (reason.breaches[0].gate, reason.breaches[0].column, reason.breaches[0].count) == ("range", "miles", 1)
    ingest(gate, *good)


def test_rows_that_are_wanting_are_refused_at_the_first_door(gate: QualityGate):
    with pytest.raises(
        QualityRefused, match=r"rows per day: 1 rows in 1.0 days; expected 2..50; freshness: the newest"
    ):
        ingest(gate, row("N1", 1, 7))
    assert not day_partitions.day_file(gate.source.path, DAY).exists()


def test_a_day_that_came_empty_does_not_lose_its_rows(gate: QualityGate):
    ingest(gate, row("N1", 1, 7), row("N2", 11, 8))
    before = day_partitions.day_file(gate.source.path, DAY).read_bytes()
    with pytest.raises(QualityRefused, match=r"rows of 2013-10-01 are refused: rows per day: 0 rows in 1.0 days"):
        ingest(gate)
    assert day_partitions.day_file(gate.source.path, DAY).read_bytes() == before


def test_days_for_which_nothing_came_are_told(gate: QualityGate):
    batches = table(VIEW, [row("N1", 1, 7), row("N2", 11, 8)]).to_batches()
    written = day_partitions.write(gate.source.path, batches, ("tail",), DAY, date(2013, 10, 4), gate.check_day)
    assert QualityGates([gate]).missing_days([written]) == [
        "feature view 'seen': no row of 2 days (2013-10-02 the first); expected 2..50 a day"
    ]
    assert (
        QualityGates([QualityGate(VIEW, gate.source, ViewExpectations("seen"), gate.quarantine)]).missing_days(
            [written]
        )
        == []
    )
    whole = day_partitions.write(gate.source.path, batches, ("tail",), DAY, date(2013, 10, 2), gate.check_day)
    assert QualityGates([gate]).missing_days([whole]) == []


def test_pushed_rows_are_judged_by_their_values_alone(gate: QualityGate, tmp_path: Path, redis_url: str):
    target = PushTarget(VIEW, "seen", "event_timestamp", "created_timestamp")
    rows = push.PushedRows("tests", target)
    told = {"tail": "N1", "event_timestamp": NOON.isoformat()}
    now = to_micros(NOON + HOUR)

    def put(*miles: int | None) -> int:
        batch = rows.batch([rows.parse([told | {"miles": one} for one in miles])], now)
        return push.run(
            "tests", target, batch, tmp_path / "data", store, now, QualityGates([gate]).push_check("seen")
        ).rows

    with Redis.from_url(redis_url) as redis:
        store = SyncOnlineStore(redis, "tests")
        with pytest.raises(
            InvalidRows, match=r"no row was pushed .*range of miles: 1 of 2 .*such as 101.*expected 0..100"
        ):
            put(7, 101)
        assert redis.dbsize() == 0
        assert not gate.source.path.exists()
        assert put(7) + put(7, 7) + put(None) == 4, "few, and again"
    assert QualityGates([]).push_check("seen") is push.unchecked
    assert kept(gate) == []


class Store:
    """Materializes the view into a Redis."""

    def __init__(self, gate: QualityGate, redis: Redis, state: StateDatabase) -> None:
        self.gate, self.redis, self.state = gate, redis, state
        self.told: list[str] = []

    def run(self, hours: float) -> int:
        online = SyncOnlineStore(self.redis, "tests")
        windows = plan_windows(self.state, "tests", [(VIEW, self.gate.source)], end=NOON + hours * HOUR)
        check = QualityGates([self.gate]).window_check(self.told.append)
        done = materialize.run(
            windows, OnlineProject("tests", online, self.state), clock=lambda: NOON + 99 * HOUR, check=check
        )
        return done["seen"].written

    def holds(self, tail: str) -> bool:
        return self.redis.hexists(entity_key("tests", {"tail": ("String", tail)}), "seen")


@pytest.fixture
def store(gate: QualityGate, redis_url: str, tmp_path: Path):
    with Redis.from_url(redis_url) as redis, closing(StateDatabase(f"sqlite:///{tmp_path / 'state.db'}")) as state:
        yield Store(gate, redis, state)


def test_a_refused_window_does_not_reach_redis_and_is_read_again(gate: QualityGate, store: Store):
    data = gate.source.path.parent
    write(data, VIEW, [row("N1", -1, 7), row("N2", -1, 8)])
    assert store.run(0) == 2
    write(data, VIEW, [row("N3", 1, 7), row("N4", 1, 101), row("N5", 1, None)])
    with pytest.raises(QualityRefused, match=r"range of miles: 1 of 2 values are outside \(such as 101\)"):
        store.run(2)
    assert [store.holds(tail) for tail in ("N1", "N3", "N4")] == [True, False, False]
    assert store.state.watermark("tests", "seen") == NOON
    (place,) = kept(gate)
    assert place.name.startswith("20131001T120000-20131001T140000-")
    assert pq.read_table(place / "rows.parquet").num_rows == 3
    relaxed = QualityGate(VIEW, gate.source, ViewExpectations("seen"), gate.quarantine)
    store.gate = relaxed
    assert store.run(2) == 3


def test_rows_that_are_wanting_are_only_told_at_the_second_door(gate: QualityGate, store: Store):
    write(gate.source.path.parent, VIEW, [row("N1", -30, 7)])
    assert store.run(0) == 1
    assert [told.partition(";")[0] for told in store.told] == [
        "feature view 'seen': rows per day: 1 rows in 1.2 days",
        "feature view 'seen': freshness: the newest event is of 2013-09-30 06:00 UTC",
    ]
    assert kept(gate) == []


def test_what_is_stored_is_judged_by_hand(gate: QualityGate):
    write(gate.source.path.parent, VIEW, [row("N1", -1, 7), row("N2", -1, 8), row("N3", -2, 101)], files=3)
    found = gate.check_table(NOON)
    assert [(one.gate, one.count, one.rows) for one in found] == [("range", 1, 3)]
    assert [one.gate for one in gate.check_table(NOON + 24 * HOUR)] == ["freshness", "range"]


def test_a_gate_crosses_to_another_process(gate: QualityGate, store: Store):
    write(gate.source.path.parent, VIEW, [row("N1", -1, 7), row("N2", -1, 101)])
    (window,) = plan_windows(store.state, "tests", [(VIEW, gate.source)], end=NOON)
    told = msgspec.json.decode(msgspec.json.encode(QualityGates([gate]).to_builtins("seen")))
    again = QualityGates.from_builtins(window, told, gate.quarantine)
    assert again.by_view["seen"] == gate
    assert QualityGates([]).to_builtins("seen") is None
    assert QualityGates.from_builtins(window, None, gate.quarantine).by_view == {}


def test_doors_are_those_of_the_tables_below_the_folder(gate: QualityGate, tmp_path: Path):
    gates = QualityGates([gate])
    assert list(gates.day_checks(tmp_path / "data")) == ["seen"]
    assert gates.day_checks(tmp_path / "elsewhere") == {}


def test_the_error_survives_a_process(gate: QualityGate):
    import pickle

    error = QualityRefused("seen", "2013-10-01", ("range of miles: 1",), "/q")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
