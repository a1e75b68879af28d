"""The wheel, built and installed beside an online shop's own project, whose packages have the names of our folders."""

from __future__ import annotations

import configparser
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tests.tables.store_file import store_file

OUR_FOLDERS = ("serving", "pipelines", "dags", "feature_repo")
TRANSFORMS = """
def basket(*, total, items):
    xp = total.__array_namespace__()
    return {"price_per_item": xp.astype(total / items, xp.float32)}
"""
DEFINITIONS = """
from datetime import timedelta

import pandas as pd
from feast import Entity, FeatureService, FeatureView, Field, FileSource, ValueType
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Float32, Float64

customer = Entity(name="customer", join_keys=["customer"], value_type=ValueType.INT64)
table = FileSource(
    name="orders", path="orders", timestamp_field="event_timestamp", created_timestamp_column="created_timestamp"
)
orders = FeatureView(
    name="orders",
    entities=[customer],
    schema=[Field(name="total", dtype=Float64), Field(name="items", dtype=Float64)],
    source=table,
    ttl=timedelta(days=3650),
)


@on_demand_feature_view(sources=[orders], schema=[Field(name="price_per_item", dtype=Float32)], mode="pandas")
def basket(inputs: pd.DataFrame) -> pd.DataFrame:
    pass


checkout = FeatureService(name="checkout", features=[orders, basket])
"""
NOTEBOOK = """
import datetime

import pandas as pd
from feast import FeatureStore

import dags, feature_repo, pipelines, serving
from pipelines.baskets import FEATURES
import skewless.contract, skewless.feast

for own in (dags, feature_repo, pipelines, serving):
    assert own.OWNER == "the shop", own
print("skewless:", list(skewless.__path__))
store = FeatureStore(repo_path="feature_repo")
frame = pd.DataFrame({"customer": [1, 2], "event_timestamp": [pd.Timestamp.now("UTC")] * 2})
offline = store.get_historical_features(frame, features=FEATURES).to_df().sort_values("customer")
online = store.get_online_features(features=FEATURES, entity_rows=[{"customer": 1}, {"customer": 2}]).to_df()
for name in ("total", "items", "price_per_item"):
    print(name, offline[name].tolist(), online[name].tolist())
"""
DAG_FILE = """
from airflow.sdk import PartitionedAssetTimetable, dag, task

from dags import OWNER
from skewless.airflow import online_store, timetables

timetables(globals(), prefix="shop", include=["materialize"])


@task
def mail():
    print(OWNER)


@dag("shop_mail", schedule=PartitionedAssetTimetable(assets=online_store("shop")))
def timetable():
    mail()


timetable()
"""


@dataclass(frozen=True)
class InstalledShop:
    """`environment` has the wheel in its own site-packages, and of the test environment all but the editable checkout."""

    environment: Path
    project: Path
    redis_url: str

    @property
    def site_packages(self) -> Path:
        return self.environment / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"

    @property
    def python(self) -> Path:
        return self.environment / "bin" / "python"

    @classmethod
    def make(cls, folder: Path, wheel: Path, redis_url: str) -> InstalledShop:
        shop = cls(folder / "environment", folder / "shop", redis_url)
        venv.create(shop.environment, symlinks=True)
        _install(wheel, shop)
        write_project(shop.project)
        return shop

    def run(self, *command: str | Path, **variables: str) -> str:
        """What a command prints, run in the project's folder. Raises: AssertionError with what it said."""
        inherited = {name: os.environ[name] for name in ("HOME", "LANG", "TMPDIR") if name in os.environ}
        given = inherited | {"PATH": f"{self.environment}/bin:/usr/bin:/bin", "SKEWLESS_REDIS_URL": self.redis_url}
        bytecode = {name: os.environ[name] for name in ("PYTHONPYCACHEPREFIX",) if name in os.environ}
        done = subprocess.run(
            [str(word) for word in command],
            cwd=self.project,
            env=given | bytecode | variables,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def skewless(self, *words: str) -> str:
        return self.run(self.environment / "bin" / "skewless", *words)


def _install(wheel: Path, shop: InstalledShop) -> None:
    """As an installer does: unpack, and write a script for each entry point. Its dependencies are the test's own."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(shop.site_packages)
        (name,) = [one for one in archive.namelist() if one.endswith(".dist-info/entry_points.txt")]
        points = configparser.ConfigParser()
        points.read_string(archive.read(name).decode())
    for script, point in points["console_scripts"].items():
        module, _, function = point.partition(":")
        file = shop.environment / "bin" / script
        file.write_text(f"#!{shop.python}\nimport sys\nfrom {module} import {function}\nsys.exit({function}())\n")
        file.chmod(0o755)
    # A folder that a .pth file names is searched, and its own .pth files, the editable checkout's, are not read.
    dependencies = sysconfig.get_paths()["purelib"]
    (shop.site_packages / "dependencies.pth").write_text(f"{dependencies}\n")


def write_project(project: Path) -> None:
    """Definitions, a table of two rows, and packages with the names of our folders."""
    for folder in OUR_FOLDERS:
        (project / folder).mkdir(parents=True)
        (project / folder / "__init__.py").write_text('OWNER = "the shop"\n')
    (project / "pipelines" / "baskets.py").write_text(
        'FEATURES = ["orders:total", "orders:items", "basket:price_per_item"]\n'
    )
    (project / "serving" / "contract.py").write_text(
        'raise ImportError("this is the shop\'s, and no part of skewless")\n'
    )
    (project / "feature_repo" / "feature_store.yaml").write_text(store_file("shop", known_by="created_timestamp"))
    (project / "feature_repo" / "transforms.py").write_text(TRANSFORMS)
    (project / "feature_repo" / "shop.py").write_text(DEFINITIONS)
    (project / "notebook.py").write_text(NOTEBOOK)
    (project / "dags" / "mail.py").write_text(DAG_FILE)
    times = pa.array([datetime.now(UTC) - timedelta(days=1)] * 2, pa.timestamp("us", "UTC"))
    orders = {
        "customer": pa.array([1, 2], pa.int64()),
        "total": pa.array([10.0, 1.0], pa.float64()),
        "items": pa.array([4.0, 3.0], pa.float64()),
        "event_timestamp": times,
        "created_timestamp": times,
    }
    (project / ".skewless" / "data" / "orders").mkdir(parents=True)
    pq.write_table(pa.table(orders), project / ".skewless" / "data" / "orders" / "part-0.parquet")
