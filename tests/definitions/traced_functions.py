"""An on-demand feature view in Python, and the plan that it is traced by."""

from __future__ import annotations

import textwrap
from pathlib import Path

from skewless.contract.plan import (
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
from skewless.definitions.onnx_tracing import load_functions

MEAN, COUNT, HOUR = StoredFeature("delays", "mean"), StoredFeature("delays", "count"), RequestInput("hour")
DELAYS = PlanView(
    "delays",
    "delays",
    (JoinKey("origin", "origin", "String"),),
    (Field("mean", "Float32"), Field("count", "Int64")),
    0,
    "created_timestamp",
)
RUSH = Transform("rush", (("mean", MEAN), ("hour", HOUR)), (Field("swell", "Float32"),), "")
GOOD = """
def rush(mean, hour):
    xp = mean.__array_namespace__()
    return {"swell": mean * xp.astype(xp.sin(hour), xp.float32)}
"""


def plan(*transforms: Transform) -> Plan:
    columns = tuple(
        ModelColumn(f"{t.name}_{f.name}", TransformOutput(t.name, f.name)) for t in transforms for f in t.outputs
    )
    return Plan("s", "p", (DELAYS,), (Field("hour", "Int64"),), transforms, columns)


def functions(repo: Path, source: str):
    (repo / "transforms.py").write_text(textwrap.dedent(source))
    return load_functions(repo)
