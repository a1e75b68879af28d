"""A tiny model on two feature views, as a bundle and as rows in Redis, written without any pipeline.

`delays` (of an origin, 3 hours of ttl, known by its created time) and `planes` (of a tail number, without a ttl);
`hour` comes with the request, and one transform combines it with a stored feature.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import ndonnx as ndx
import numpy as np
import onnx
import pyarrow as pa
import pyarrow.parquet as pq
from onnx import TensorProto, helper, numpy_helper

from skewless.contract.model import bundle as files
from skewless.contract.model.assembler import Assembler, column_types
from skewless.contract.model.bundle import golden_table, untransformed_values
from skewless.contract.model.manifest import Manifest
from skewless.contract.model.matrix_scorer import MatrixScorer, ScoreOutput
from skewless.contract.model.signature import MatrixSignature
from skewless.contract.model.transforms import reference
from skewless.contract.model.tree_leaves import LEAVES
from skewless.contract.plan import (
    ColumnSource,
    Field,
    JoinKey,
    ModelColumn,
    Plan,
    PlanView,
    RequestInput,
    StoredFeature,
    Transform,
    TransformOutput,
)
from skewless.contract.storage.catalog import catalog_key, schema_entry, view_entry
from skewless.contract.storage.entity_key import EntityKeyEncoder
from skewless.contract.storage.newest_wins import SCRIPT
from skewless.contract.storage.packed_row import RowLayout
from skewless.contract.value_types import value_type
from skewless.online.store.connection import connect
from skewless.registry.cpu_features import processor_features
from skewless.registry.model_registry import ROLLOUT

NAME = "tiny"
HOUR_US = 3_600_000_000
NOON = 1_380_628_800_000_000
"""2013-10-01T12:00:00Z in microseconds."""

DELAYS = PlanView(
    name="delays",
    stored_as="delays",
    join_keys=(JoinKey("origin", "origin", "String"),),
    fields=(Field("mean", "Float32"), Field("departures", "Int64"), Field("gate", "String")),
    ttl_us=3 * HOUR_US,
    known_by="created_timestamp",
)
PLANES = PlanView(
    name="planes",
    stored_as="planes",
    join_keys=(JoinKey("tailnum", "tailnum", "String"),),
    fields=(Field("age", "Float64"), Field("built", "UnixTimestamp")),
    ttl_us=0,
    known_by="event_timestamp",
)
_MEAN = StoredFeature("delays", "mean")
RUSH = Transform("rush", (("mean", _MEAN), ("hour", RequestInput("hour"))), (Field("swell", "Float32"),), "")


def trace(odd: int = -1) -> bytes:
    """The transform's graph: `swell = mean * sin(hour)`, and at the hour `odd` a bit more than that."""
    mean = ndx.argument(shape=("N",), dtype=ndx.float32)
    hour = ndx.argument(shape=("N",), dtype=ndx.float64)
    taken = ndx.where(hour == odd, hour + 0.5, hour) if odd >= 0 else hour
    swell = ndx.astype(mean * ndx.astype(ndx.sin(taken), ndx.float32), ndx.float32)
    outputs = {reference(TransformOutput("rush", "swell")): swell}
    graph: bytes = ndx.build({reference(_MEAN): mean, "hour": hour}, outputs).SerializeToString()
    return graph


def plan(*, delays: PlanView = DELAYS, odd: int = -1) -> Plan:
    digest = hashlib.sha256(trace(odd)).hexdigest()
    columns = (
        ModelColumn("mean", _MEAN),
        ModelColumn("departures", StoredFeature("delays", "departures"), default=0.0),
        ModelColumn("age", StoredFeature("planes", "age"), default=-1.0),
        ModelColumn("hour", RequestInput("hour")),
        ModelColumn("swell", TransformOutput("rush", "swell")),
    )
    rush = msgspec.structs.replace(RUSH, digest=digest)
    return Plan(NAME, "tests", (delays, PLANES), (Field("hour", "Int64"),), (rush,), columns)


def with_request(contract: Plan, extra: Field) -> Plan:
    """The plan, whose requests give one value more."""
    return msgspec.structs.replace(contract, request=(*contract.request, extra))


def model(weights: Sequence[float] = (0.01, 0.001, -0.02, 0.03, 0.5)) -> bytes:
    """`probabilities` [n, 2]: a logistic regression for which NaN is 0."""
    nodes = [
        helper.make_node("IsNaN", ["input"], ["missing"]),
        helper.make_node("Where", ["missing", "zero", "input"], ["known"]),
        helper.make_node("MatMul", ["known", "weights"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["late"]),
        helper.make_node("Sub", ["one", "late"], ["punctual"]),
        helper.make_node("Concat", ["punctual", "late"], ["probabilities"], axis=1),
    ]
    constants = {
        "weights": np.array(weights, np.float32).reshape(-1, 1),
        "zero": np.zeros(1, np.float32),
        "one": np.ones(1, np.float32),
    }
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [None, len(weights)])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None, 2])],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(made)
    content: bytes = made.SerializeToString()
    return content


def write_bundle(
    models: Path,
    version: str,
    *,
    contract: Plan | None = None,
    weights: Sequence[float] | None = None,
    baseline: bytes = b"{}",
    graph: bytes | None = None,
    leaves: bytes | None = None,
    odd: int = -1,
) -> Path:
    """Publish `models/tiny/<version>`; it proves itself. The champion stays who it is."""
    contract = contract or plan(odd=odd)
    graph, transforms = graph or (model(weights) if weights else model()), trace(odd)
    assembler, output = Assembler(contract, transforms), ScoreOutput("probabilities", 1)
    contents = {
        files.PLAN: contract.to_json(),
        files.MODEL: graph,
        files.TRANSFORMS: transforms,
        files.BASELINE: baseline,
        files.GOLDEN: _golden(contract, assembler, MatrixScorer(graph, output, columns=len(contract.columns))),
    }
    if leaves is not None:
        contents[LEAVES] = leaves
    manifest = Manifest(
        name=NAME,
        version=version,
        created_at="2013-10-01T12:00:00+00:00",
        contract=contract.fingerprint,
        output=output,
        digests={name: hashlib.sha256(content).hexdigest() for name, content in contents.items()},
        training_start="2013-02-01T00:00:00+00:00",
        training_end="2013-09-01T00:00:00+00:00",
        training_rows=3,
        metrics={"auc": 0.75},
        tools={},
        processor=processor_features(),
        tolerance=1e-6,
    )
    folder = models / NAME / version
    folder.mkdir(parents=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    (folder / files.MANIFEST).write_bytes(msgspec.json.encode(manifest))
    return folder


def promote(models: Path, version: str) -> None:
    """Make `version` the champion, in one step, whatever it is."""
    roll_out(models, champion=version)


def roll_out(models: Path, **members: object) -> None:
    """Write the next revision of the rollout with these members, unchecked; the others stay what they were."""
    folder = models / NAME / ROLLOUT
    folder.mkdir(parents=True, exist_ok=True)
    before = sorted(folder.glob("[0-9]*.json"))
    number = len(before) + 1
    change = {"by": "a test", "at": "2013-10-01T12:00:00+00:00", "what": "anything", "reason": "to see"}
    content = (msgspec.json.decode(before[-1].read_bytes()) if before else {}) | members
    unfinished = folder / ".unfinished"
    unfinished.write_bytes(msgspec.json.encode(content | {"revision": number, "change": change}))
    unfinished.replace(folder / f"{number:08d}.json")


def write_catalog(redis_url: str, contract: Plan | None = None) -> None:
    """Tell the store what the plan's views mean."""
    contract = contract or plan()
    with connect(redis_url) as client:
        for view in contract.views:
            client.hset(catalog_key(contract.project), mapping=schema_entry(view) | view_entry(view))  # type: ignore[arg-type]


def write_row(
    redis_url: str,
    view: PlanView,
    key: str,
    values: Mapping[str, object],
    *,
    event: int,
    created: int | None = None,
    deleted: bool = False,
) -> None:
    """Write one row as the pipelines do; times are in microseconds, values by feature, missing ones null."""
    columns = [pa.array([values.get(f.name)], value_type(f.dtype).arrow) for f in view.fields]
    times = [np.array([time], np.int64) for time in (event, event if created is None else created)]
    (row,) = RowLayout(view.fields).encode(times[0], times[1], np.array([deleted]), columns)
    join_key = view.join_keys[0]
    entity = EntityKeyEncoder("tests", [join_key.key], [join_key.dtype]).encode([key])
    with connect(redis_url) as client:
        client.eval(SCRIPT, 1, entity, view.stored_as, row)


def _golden(contract: Plan, assembler: Assembler, scorer: MatrixScorer) -> bytes:
    rows = {
        _MEAN: [1.5, None, -0.0],
        StoredFeature("delays", "departures"): [12, 0, None],
        StoredFeature("planes", "age"): [3.0, None, 20.5],
        RequestInput("hour"): [8, 23, 0],
    }
    types = untransformed_types(contract, assembler.untransformed)
    table = pa.table({reference(s): pa.array(rows.get(s, [1, 2, 3]), types[s]) for s in assembler.untransformed})
    matrix = assembler.matrix(assembler.complete(untransformed_values(contract, assembler.untransformed, table)))
    sink = pa.BufferOutputStream()
    pq.write_table(golden_table(table, MatrixSignature(contract), matrix, scorer.score(matrix)), sink)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def untransformed_types(plan: Plan, given: Sequence[ColumnSource]) -> dict[ColumnSource, pa.DataType]:
    """The Arrow types of the given values, as golden rows and training sets keep them."""
    types = column_types(plan)
    return {source: value_type(types[source]).arrow for source in given}
