"""What a server did at three instants on a real Valkey, its log, and all that an audit may know about it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from redis import Redis

from skewless.contract.admission import FeatureStatus
from skewless.contract.columns import ColumnValues
from skewless.contract.model.assembler import AdmittedRows, Assembler
from skewless.contract.model.bundle import Bundle
from skewless.contract.plan import PlanView
from skewless.contract.storage.lookup import OnlineRead
from skewless.contract.storage.served_row import ServedRequest
from skewless.contract.timestamps import to_micros
from skewless.monitoring.audit import audit
from skewless.monitoring.audit.audit import AuditResult
from skewless.monitoring.audit.evidence import AuditEvidence, collect_evidence
from skewless.monitoring.served_log.reader import ServedLogReader
from skewless.online.materialization import materialize
from skewless.online.materialization.materialize import plan_windows
from skewless.online.store.online_project import OnlineProject
from skewless.online.store.store import SyncOnlineStore
from skewless.state.database import StateDatabase
from tests.models import tiny
from tests.oracles import Row
from tests.tables.histories import source, sources, write
from tests.tables.served_rows import served_batch

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


def history(data: Path, view: PlanView = DELAYS) -> None:
    rows = [
        delays("JFK", NOON - HOUR, NOON - HOUR, 5.5),
        delays("JFK", NOON + HOUR, NOON + HOUR, 7.25, None),
        delays("JFK", NOON - HOUR, NOON + 1.5 * HOUR, 6.0),
        delays("LGA", NOON - 2 * HOUR, NOON - HOUR, None),
    ]
    write(data, view, rows)
    write(data, PLANES, [plane("N1", 12.0)])


class World:
    """What a server did at three instants, and its log."""

    def __init__(self, root: Path, bundle: Bundle) -> None:
        self.root, self.bundle = root, bundle
        self.data, self.log = root / "data", ServedLogReader(root / "served")
        self.file = root / "served" / "model=tiny" / "version=1.0.0" / "day=2013-10-01" / "part-0.parquet"

        self.today = {view.name: view for view in bundle.plan.views}

    def serve(self, redis: Redis) -> None:
        """Materialize and answer at noon, one and three."""
        store, batches = SyncOnlineStore(redis, self.bundle.plan.project), []
        for number, hours in enumerate((0, 1, 3)):
            self.materialize(redis, NOON + hours * HOUR)
            served = self.answer(store, f"r{number}", NOON + hours * HOUR)
            batches.append(served_batch(self.bundle.plan, "tiny", "1.0.0", served))
        self.file.parent.mkdir(parents=True)
        pq.write_table(pa.Table.from_batches(batches), self.file)

    def materialize(self, redis: Redis, end: datetime, *, finished: datetime | None = None) -> None:
        """Bring the store up to `end`, by a run that ends then or when it is said."""
        plan = self.bundle.plan
        with closing(self.state()) as state:
            views = [(view, source(self.data, view)) for view in plan.views]
            windows = plan_windows(state, plan.project, views, end=end)
            store = SyncOnlineStore(redis, plan.project)
            materialize.run(windows, OnlineProject(plan.project, store, state), clock=lambda: finished or end)

    def state(self) -> StateDatabase:
        return StateDatabase(f"sqlite:///{self.root / 'state.db'}")

    def log_another(self, redis: Redis, at: datetime, *, unread: str = "", assembler: Assembler | None = None) -> None:
        """Answer at `at` from what the store holds, and log it beside the others as r9."""
        plan = self.bundle.plan
        served = self.answer(SyncOnlineStore(redis, plan.project), "r9", at, unread=unread, assembler=assembler)
        place = self.file.parent.with_name(f"day={at.date()}") / "part-1.parquet"
        place.parent.mkdir(exist_ok=True)
        pq.write_table(pa.Table.from_batches([served_batch(plan, "tiny", "1.0.0", served)]), place)

    def answer(
        self, store: SyncOnlineStore, name: str, at: datetime, *, unread: str = "", assembler: Assembler | None = None
    ) -> ServedRequest:
        """`unread`: a view that the store does not give; its defaults are used."""
        assembler = assembler or self.bundle.assembler
        entities = {"origin": [o for o, _, _ in ASKED], "tailnum": [t for _, t, _ in ASKED]}
        request = {"hour": ColumnValues(np.array([hour for *_, hour in ASKED]), np.ones(3, bool))}
        reader = OnlineRead(self.bundle.plan, assembler.wanted)
        batch = reader.batch(entities, 3)
        views = reader.decode(batch, store.read(batch.lookups), to_micros(at))
        if unread:
            views[unread] = AdmittedRows(views[unread].rows, np.full(3, FeatureStatus.NOT_READ, np.uint8))
        matrix = assembler.assemble(views, request)
        return ServedRequest(name, to_micros(at), entities, request, views, matrix, self.bundle.scorer.score(matrix))

    def audit(self, start: datetime = NOON, end: datetime = NOON + 9 * HOUR) -> AuditResult:
        return audit.run(self.bundle, self.evidence, self.log, start, end)

    @property
    def evidence(self) -> AuditEvidence:
        plan = self.bundle.plan
        with closing(self.state()) as state:
            return collect_evidence(plan, state, sources(self.data, plan), self.today)

    def change(self, column: str, change: Callable[[list], None]) -> None:
        """Falsify a column of the log."""
        table = pq.read_table(self.file, partitioning=None)
        values = table.column(column).to_pylist()
        change(values)
        place = table.column_names.index(column)
        field = table.schema.field(column)
        pq.write_table(table.set_column(place, field, pa.array(values, field.type)), self.file)
