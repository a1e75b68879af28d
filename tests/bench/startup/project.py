"""A small shop with its rows in the online store, and `skewless` run in it as a person types it."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tests.tables.store_file import store_file

SKEWLESS = Path(sys.executable).parent / "skewless"
DEFINITIONS = """
from datetime import timedelta

from feast import Entity, FeatureView, Field, FileSource, ValueType
from feast.types import Float32, Int64

customer = Entity(name="customer", join_keys=["customer"], value_type=ValueType.INT64)


def view(name):
    source = FileSource(
        name=name, path=name, timestamp_field="event_timestamp", created_timestamp_column="created_timestamp"
    )
    schema = [
        Field(name="customer", dtype=Int64),
        Field(name="amount", dtype=Float32, tags={"expect_range": "0.."}),
        Field(name="orders", dtype=Int64),
    ]
    return FeatureView(name=name, entities=[customer], schema=schema, source=source, ttl=timedelta(days=30))


spend, baskets, visits = view("spend"), view("baskets"), view("visits")
"""
VIEWS = ("spend", "baskets", "visits")
DAYS, CUSTOMERS = 7, 50
NEW_ROW = {
    "customer": 7,
    "amount": 2.5,
    "orders": 3,
    "event_timestamp": "2026-01-08T00:00:00Z",
    "created_timestamp": "2026-01-08T00:00:00Z",
}


@dataclass(frozen=True)
class StartupProject:
    """`folder` holds the definitions and the state; `environment` is that of each verb."""

    folder: Path
    environment: dict[str, str]

    @classmethod
    def make(cls, folder: Path, redis_url: str, **environment: str) -> StartupProject:
        """Definitions applied, tables written and materialized."""
        repo = folder / "feature_repo"
        repo.mkdir(parents=True)
        (repo / "feature_store.yaml").write_text(store_file("shop", known_by="created_timestamp"))
        (repo / "shop.py").write_text(DEFINITIONS)
        for number, name in enumerate(VIEWS):
            for day in range(DAYS):
                _write(folder / ".skewless" / "data" / name, day, number)
        mine = {name: value for name, value in os.environ.items() if not name.startswith("SKEWLESS_")}
        made = cls(folder, mine | {"SKEWLESS_REDIS_URL": redis_url} | environment)
        made.run("apply")
        made.run("materialize")
        return made

    def run(self, *words: str, given: bytes = b"") -> str:
        """What a verb prints. Raises: CalledProcessError."""
        command = [SKEWLESS, *words]
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, input=given, capture_output=True, check=False
        )
        if done.returncode:
            raise AssertionError(f"skewless {' '.join(words)}: {done.stdout.decode()}{done.stderr.decode()}")
        return done.stdout.decode()

    def seconds(self, *words: str, given: bytes = b"") -> float:
        """Processor time of a verb, its children's included."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        self.run(*words, given=given)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    def imported(self, *words: str, given: bytes = b"") -> set[str]:
        """The packages that a verb imports."""
        script = (
            "import atexit, sys\n"
            "names = lambda: sorted({name.partition('.')[0] for name in sys.modules})\n"
            "atexit.register(lambda: print('\\nimported', *names()))\n"
            f"sys.argv = ['skewless', *{list(words)!r}]\n"
            "from skewless.server.cli import main\n"
            "main()\n"
        )
        command = [sys.executable, "-c", script]
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, input=given, capture_output=True, check=False
        )
        if done.returncode:
            raise AssertionError(f"skewless {' '.join(words)}: {done.stdout.decode()}{done.stderr.decode()}")
        return set(done.stdout.decode().splitlines()[-1].split()[1:])


def _write(table: Path, day: int, number: int) -> None:
    at = datetime(2026, 1, 1 + day, tzinfo=UTC)
    times = pa.array([at + timedelta(minutes=place) for place in range(CUSTOMERS)], pa.timestamp("us", "UTC"))
    columns = {
        "customer": pa.array(range(CUSTOMERS), pa.int64()),
        "amount": pa.array([1.5 * place + number for place in range(CUSTOMERS)], pa.float32()),
        "orders": pa.array(range(CUSTOMERS), pa.int64()),
        "event_timestamp": times,
        "created_timestamp": times,
    }
    folder = table / f"day={at:%Y-%m-%d}"
    folder.mkdir(parents=True)
    pq.write_table(pa.table(columns), folder / "part-0.parquet")
