"""A project whose transform tells how long something stood still, in a unit that its file says, and a model on it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from onnx import TensorProto, helper, numpy_helper

from tests.tables.store_file import store_file

SKEWLESS = Path(sys.executable).parent / "skewless"
NOW = datetime.now(UTC).replace(microsecond=0)
LAST = int(NOW.timestamp()) - 15_541
"""When car 7 stood still, in seconds since 1970."""
TRANSFORMS = """
def idle(*, clock, last):
    xp = last.__array_namespace__()
    return {{"since": xp.astype(xp.sqrt((clock - last) / {unit}), xp.float32)}}
"""
DEFINITIONS = """
from datetime import timedelta

import pandas as pd
from feast import Entity, FeatureService, FeatureView, Field, FileSource, RequestSource, ValueType
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Float32, Int64

car = Entity(name="car", join_keys=["plate"], value_type=ValueType.INT64)
trips = FeatureView(
    name="trips",
    entities=[car],
    ttl=timedelta(days=2),
    schema=[Field(name="last", dtype=Int64)],
    source=FileSource(name="trips", path="trips", timestamp_field="event_timestamp"),
)
clock = RequestSource(name="clock", schema=[Field(name="clock", dtype=Int64)])


@on_demand_feature_view(
    sources=[trips, clock], schema=[Field(name="since", dtype=Float32)], mode="pandas", tags={"transform": "idle"}
)
def idle(inputs: pd.DataFrame) -> pd.DataFrame:
    pass


still = FeatureService(name="still", features=[idle, trips])
"""
NOTEBOOK = """
import json, sys
from datetime import datetime

import pandas as pd
from feast import FeatureStore

repo, clock = sys.argv[1], int(sys.argv[2])
store = FeatureStore(repo_path=repo)
rows = {"plate": [7], "clock": [clock]}
spine = pd.DataFrame({**rows, "event_timestamp": [pd.Timestamp.now("UTC")]})
service = store.get_feature_service("still")
offline = store.get_historical_features(spine, service, full_feature_names=True).to_arrow()
online = store.get_online_features(service, rows, full_feature_names=True).to_dict()
print(json.dumps([offline["idle__since"].to_pylist(), online["idle__since"]]))
"""


@dataclass(frozen=True)
class TimedProject:
    folder: Path
    redis_url: str

    @classmethod
    def make(cls, folder: Path, redis_url: str, unit: int) -> TimedProject:
        """The project with its table; `unit` is the seconds of the transform's unit."""
        project = cls(folder, redis_url)
        project.repo.mkdir(parents=True)
        (project.repo / "feature_store.yaml").write_text(store_file(folder.name))
        (project.repo / "definitions.py").write_text(DEFINITIONS)
        project.edit(unit)
        times = pa.array([NOW - timedelta(hours=1)], pa.timestamp("us", "UTC"))
        (project.state / "data").mkdir(parents=True)
        table = pa.table({"plate": [7], "last": [LAST], "event_timestamp": times})
        pq.write_table(table, project.state / "data" / "trips")
        spine = {"plate": [7], "clock": [int(NOW.timestamp())], "late": [True]}
        pq.write_table(pa.table({**spine, "event_timestamp": [NOW]}), folder / "spine.parquet")
        (folder / "model.onnx").write_bytes(model())
        return project

    @property
    def repo(self) -> Path:
        return self.folder / "feature_repo"

    @property
    def state(self) -> Path:
        return self.folder / ".skewless"

    def edit(self, unit: int) -> None:
        (self.repo / "transforms.py").write_text(TRANSFORMS.format(unit=unit))

    def run(self, *command: str | Path, cwd: Path | None = None, **variables: str) -> str:
        """What a command prints, without a setting but the online store's. Raises: AssertionError with what it said."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("SKEWLESS_")}
        variables |= {"SKEWLESS_REDIS_URL": self.redis_url, "PYTHONWARNINGS": "ignore"}
        words, folder = [str(word) for word in command], cwd or self.folder
        done = subprocess.run(words, cwd=folder, env=inherited | variables, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout

    def skewless(self, *words: str, cwd: Path | None = None, **variables: str) -> str:
        return self.run(SKEWLESS, *words, cwd=cwd, **variables)

    def notebook(self, cwd: Path) -> tuple[list[float], list[float]]:
        """What the SDK answers offline and online, in a program that stands in a folder."""
        program = cwd / "notebook.py"
        program.write_text(NOTEBOOK)
        printed = self.run(sys.executable, program, self.repo, str(int(NOW.timestamp())), cwd=cwd)
        offline, online = json.loads(printed.splitlines()[-1])
        return offline, online

    def train(self, cwd: Path) -> np.float32:
        """The feature in the training set, made by the verb in a folder."""
        start, end = ((NOW + timedelta(hours=hours)).isoformat() for hours in (-1, 1))
        spine = self.folder / "spine.parquet"
        words = ("training-set", "--service", "still", "--spine", str(spine), "--start", start, "--end", end)
        self.skewless(*words, cwd=cwd, SKEWLESS_FEATURE_REPO=str(self.repo))
        (value,) = pq.read_table(self.state / "training" / "still" / "data.parquet")["idle__since"].to_pylist()
        return np.float32(value)


def model() -> bytes:
    """A model that gives a bounded score of its two columns."""
    nodes = [helper.make_node("MatMul", ["input", "weights"], ["sum"]), helper.make_node("Sigmoid", ["sum"], ["score"])]
    weights = numpy_helper.from_array(np.array([[0.5], [0.0]], "f4"), "weights")
    graph = helper.make_graph(
        nodes,
        "standing",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", 2])],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, ["n", 1])],
        [weights],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return bytes(made.SerializeToString())
