"""A small bundle, published as it should be, and a publisher who gets one thing wrong."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skewless.contract.errors import InvalidBundle
from skewless.contract.model import bundle as b
from skewless.contract.model.assembler import Assembler
from skewless.contract.model.matrix_scorer import MatrixScorer, ScoreOutput
from skewless.contract.model.signature import MatrixSignature
from skewless.contract.model.transforms import reference
from skewless.registry.bundle_folder import open_bundle
from tests.models.flight_plan import PLAN, but, clock
from tests.models.graphs import model, traced
from tests.models.tiny import untransformed_types

HERE = ("AVX2", "FMA3")
ELSEWHERE = ("NEON",)
FILES = (b.PLAN, b.MODEL, b.TRANSFORMS, b.GOLDEN, b.BASELINE, b.CARD)
ROWS = 24


def golden(plan, transforms: bytes, graph: bytes) -> pa.Table:
    """Golden rows whose values, model input and score belong together; nulls among them."""
    assembler = Assembler(plan, transforms)
    drawn = np.random.default_rng(1).integers(0, 24, ROWS)
    types = untransformed_types(plan, assembler.untransformed)
    table = pa.table(
        {
            reference(source): pa.array([None if n % 5 == 0 else int(n) for n in drawn]).cast(types[source])
            for source in assembler.untransformed
        }
    )
    given = b.untransformed_values(plan, assembler.untransformed, table)
    matrix = assembler.matrix(assembler.complete(given))
    scores = MatrixScorer(graph, ScoreOutput("probabilities", 1), columns=3).score(matrix)
    return b.golden_table(table, MatrixSignature(plan), matrix, scores)


def parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


def publish(folder: Path) -> None:
    """Write a small whole bundle: the plan of `test_plan`, a clock for a transform, three weights for a model."""
    transforms, graph = traced(PLAN, {"clock": clock}), model(3)
    contents = (PLAN.to_json(), graph, transforms, parquet(golden(PLAN, transforms, graph)), b"{}", b"<p>lateness</p>")
    for name, content in zip(FILES, contents, strict=True):
        (folder / name).write_bytes(content)
    digests = {n: hashlib.sha256(c).hexdigest() for n, c in zip(FILES, contents, strict=True)}
    manifest = b.Manifest(
        name="lateness",
        version="1.0.0",
        created_at="2026-11-01T00:00:00Z",
        contract=PLAN.fingerprint,
        output=ScoreOutput("probabilities", 1),
        digests=digests,
        training_start="2013-02-01T00:00:00Z",
        training_end="2013-09-01T00:00:00Z",
        training_rows=10,
        metrics={"auc": 0.75},
        tools={"onnxruntime": "1"},
        processor=HERE,
        tolerance=1e-5,
    )
    (folder / b.MANIFEST).write_bytes(msgspec.json.encode(manifest))


def republish(folder: Path, name: str | None = None, content: bytes = b"", **changes) -> None:
    """Write a file and its digest, as a publisher who is wrong would."""
    manifest = msgspec.json.decode((folder / b.MANIFEST).read_bytes(), type=b.Manifest)
    if name is not None:
        (folder / name).write_bytes(content)
        changes["digests"] = manifest.digests | {name: hashlib.sha256(content).hexdigest()}
    (folder / b.MANIFEST).write_bytes(msgspec.json.encode(but(manifest, **changes)))


def regild(folder: Path, change) -> None:
    table = pq.read_table(folder / b.GOLDEN)
    republish(folder, b.GOLDEN, parquet(change(table)))


def refused(folder: Path, *told: str, processor=HERE) -> None:
    with pytest.raises(InvalidBundle) as error:
        open_bundle(folder, processor)
    text = str(error.value)
    assert str(folder) in text
    assert all(word in text for word in told), text
