"""A shop's project whose definitions change while models that were trained on them are served.

A customer's spending is a table with several columns; what the view makes of it is what changes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from skewless.contract.model import bundle as files
from skewless.contract.model.assembler import Assembler, Matrix
from skewless.contract.model.bundle import golden_table, untransformed_values
from skewless.contract.model.manifest import Manifest
from skewless.contract.model.matrix_scorer import MatrixScorer, ScoreOutput
from skewless.contract.model.signature import MatrixSignature
from skewless.contract.model.transforms import reference
from skewless.contract.rollout.rollout import RolloutStep, promote
from skewless.contract.storage.catalog import catalog_key, confirm
from skewless.contract.storage.lookup import OnlineRead
from skewless.contract.timestamps import to_micros
from skewless.definitions.compiler import CompiledService
from skewless.offline.join.point_in_time import TIMESTAMP, join
from skewless.online.materialization import materialize
from skewless.project import apply
from skewless.project.apply_report import ApplyReport
from skewless.project.project import ProjectContext
from skewless.registry.cpu_features import processor_features
from skewless.registry.model_registry import ModelRegistry
from skewless.runtime.settings import ProjectSettings
from skewless.state.run_history import RunCounts
from tests.models.graphs import model
from tests.models.tiny import untransformed_types
from tests.tables.store_file import store_file

NOON = datetime(2013, 10, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
MODEL, SERVICE = "churn", "buyers"
DEFINITIONS = """
from datetime import timedelta
from feast import Entity, FeatureService, FeatureView, Field, FileSource, ValueType
from feast.types import Float32, Float64, Int64, String

customer = Entity(name="customer", join_keys=["customer"], value_type=ValueType.INT64)
shop = Entity(name="shop", join_keys=["shop"], value_type=ValueType.STRING)
{view} = FeatureView(
    name="{view}",
    entities=[{entity}],
    ttl=timedelta(hours={ttl}),
    schema=[{fields}],
    source=FileSource(
        name="spend", path="spend", timestamp_field="event_timestamp", created_timestamp_column="created_timestamp",
        field_mapping={mapping},
    ),
    tags={tags},
)
buyers = FeatureService(name="buyers", features=[{view}])
"""
FIELDS = {"amount": "Float64", "visits": "Int64"}
COLUMNS = {
    "customer": pa.int64(),
    "shop": pa.string(),
    "amount": pa.float64(),
    "visits": pa.int64(),
    "discount": pa.float64(),
}
CUSTOMERS = (1, 2, 3)
ROWS = [{"customer": number} for number in (*CUSTOMERS, 9)]
"""Rows of a request: customers that have rows, and one that has none."""


def definitions(
    view: str = "spend",
    *,
    fields: Mapping[str, str] = FIELDS,
    ttl: int = 48,
    entity: str = "customer",
    mapping: Mapping[str, str] | None = None,
    **tags: str,
) -> str:
    """The definitions file of a project with one view."""
    schema = ", ".join(f'Field(name="{name}", dtype={dtype})' for name, dtype in fields.items())
    return DEFINITIONS.format(
        view=view, entity=entity, ttl=ttl, fields=schema, mapping=dict(mapping or {}), tags={"default": "", **tags}
    )


@dataclass
class ChangingProject:
    """The project in `root`; its settings are in the environment."""

    root: Path
    trained: dict[str, CompiledService] = field(default_factory=dict)

    @property
    def repo(self) -> Path:
        return self.root / "feature_repo"

    @property
    def work(self) -> ProjectContext:
        """Opened anew, as each command does."""
        return ProjectContext(ProjectSettings.read())

    @property
    def registry(self) -> ModelRegistry:
        return ProjectSettings.read().registry

    def define(self, text: str) -> None:
        self.repo.mkdir(exist_ok=True)
        (self.repo / "feature_store.yaml").write_text(store_file("shop", known_by="created_timestamp"))
        (self.repo / "shop_definitions.py").write_text(text)

    def apply(self, text: str, *, at: datetime | None = None, now: bool = False, force: bool = False) -> ApplyReport:
        """What `skewless apply` does."""
        self.define(text)
        when = at or datetime.now(UTC)
        report = apply.run(self.repo, at=when, by="ann@laptop", now=now, force=force)
        assert apply.update_online_store(self.work, when, report.dropped) is None
        return report

    def write(self, at: datetime, part: str, amounts: Sequence[float], **columns: Sequence[Any]) -> None:
        """A file of the table: a row for each of the first customers, true and known since `at`."""
        rows = len(amounts)
        given = {
            "customer": CUSTOMERS[:rows],
            "shop": [f"s{number}" for number in CUSTOMERS[:rows]],
            "amount": amounts,
            "visits": range(rows),
            "discount": [0.5] * rows,
        } | columns
        times = pa.array([at] * rows, pa.timestamp("us", "UTC"))
        table = {name: pa.array(values, COLUMNS.get(name)) for name, values in given.items() if values is not None}
        folder = self.root / "state" / "data" / "spend"
        folder.mkdir(parents=True, exist_ok=True)
        pq.write_table(
            pa.table(table | {"event_timestamp": times, "created_timestamp": times}), folder / f"{part}.parquet"
        )

    def materialize(self, end: datetime) -> dict[str, RunCounts]:
        """What `skewless materialize --end` does; by stored name."""
        work = self.work
        views = work.definitions()
        work.targets()
        stored = work.online.stored_views([view for view, _ in views])
        windows = materialize.plan_windows(work.state, work.project, views, end=end, stored=stored)
        return materialize.run(windows, work.online_project, clock=lambda: datetime.now(UTC))

    def publish(self, version: str, *, champion: bool = True) -> None:
        """A model that was trained on the definitions as they are now."""
        compiled = self.work.service(SERVICE)
        self.trained[version] = compiled
        _write_bundle(self.root / "state" / "models", version, compiled)
        if champion:
            self.change(promote(version))

    def change(self, step: RolloutStep) -> None:
        self.registry.change(MODEL, step, by="a test", at=NOON, reason="to see")

    def expected(self, version: str, at: datetime, rows: Sequence[Mapping[str, Any]] = ROWS) -> list[float]:
        """The scores that the join under the definitions of a version's training gives at an instant."""
        compiled = self.trained[version]
        keys = {key.name: [row[key.name] for row in rows] for key in compiled.plan.join_keys}
        spine = pa.table(keys | {TIMESTAMP: pa.array([at] * len(rows), pa.timestamp("us", "UTC"))})
        assembler = Assembler(compiled.plan, compiled.transforms)
        matrix = assembler.matrix(assembler.values(join(compiled.plan, compiled.sources, spine), {}))
        return scores_of(compiled, version, matrix)

    def served(self, version: str, at: datetime, rows: Sequence[Mapping[str, Any]] = ROWS) -> list[float]:
        """The scores of what the online store has. Raises: ContractMismatch where a server would refuse the version."""
        compiled, work = self.trained[version], self.work
        plan, assembler = compiled.plan, Assembler(compiled.plan, compiled.transforms)
        confirm(plan, dict(work.client.hgetall(catalog_key(plan.project))))
        read = OnlineRead(plan, assembler.wanted)
        batch = read.batch({key.name: [row[key.name] for row in rows] for key in plan.join_keys}, len(rows))
        views = read.decode(batch, work.online.read(batch.lookups), to_micros(at))
        return scores_of(compiled, version, assembler.matrix(assembler.values(views, {})))

    def stored_names(self) -> set[str]:
        """The names that the online store's catalog lists."""
        entries = self.work.client.hgetall(b"skewless:catalog:shop")
        return {name.removeprefix(b"view:").decode() for name in entries if name.startswith(b"view:")}


def scores_of(compiled: CompiledService, version: str, matrix: Matrix) -> list[float]:
    """What the model of a version tells of its input."""
    return [float(score) for score in _scorer(compiled, float(version[0])).score(matrix)]


def _graph(compiled: CompiledService, scale: float) -> bytes:
    return model(len(compiled.plan.columns), scale=scale)


def _scorer(compiled: CompiledService, scale: float) -> MatrixScorer:
    output = ScoreOutput("probabilities", 1)
    return MatrixScorer(_graph(compiled, scale), output, columns=len(compiled.plan.columns))


def _write_bundle(models: Path, version: str, compiled: CompiledService) -> None:
    """Publish `models/churn/<version>`; the first digit of the version is its weights' scale."""
    plan, assembler = compiled.plan, Assembler(compiled.plan, compiled.transforms)
    types = untransformed_types(plan, assembler.untransformed)
    table = pa.table({reference(s): pa.array([1, None, 3]).cast(types[s]) for s in assembler.untransformed})
    matrix = assembler.matrix(assembler.complete(untransformed_values(plan, assembler.untransformed, table)))
    scores = _scorer(compiled, float(version[0])).score(matrix)
    sink = pa.BufferOutputStream()
    pq.write_table(golden_table(table, MatrixSignature(plan), matrix, scores), sink)
    contents = {
        files.PLAN: plan.to_json(),
        files.MODEL: _graph(compiled, float(version[0])),
        files.BASELINE: b"{}",
        files.GOLDEN: sink.getvalue().to_pybytes(),
    }
    manifest = Manifest(
        name=MODEL,
        version=version,
        created_at=NOON.isoformat(),
        contract=plan.fingerprint,
        output=ScoreOutput("probabilities", 1),
        digests={name: hashlib.sha256(content).hexdigest() for name, content in contents.items()},
        training_start=NOON.isoformat(),
        training_end=NOON.isoformat(),
        training_rows=3,
        metrics={},
        tools={},
        processor=processor_features(),
        tolerance=1e-6,
    )
    folder = models / MODEL / version
    folder.mkdir(parents=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    (folder / files.MANIFEST).write_bytes(msgspec.json.encode(manifest))


def singles(scores: Sequence[float]) -> list[float]:
    """As float32, which a response prints in the fewest digits."""
    return np.array(scores, np.float32).tolist()
