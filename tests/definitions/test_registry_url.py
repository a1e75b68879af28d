"""Real Feast commands on a scratch repository whose registry is `?plugin=skewless`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import create_engine, inspect, text

from skewless.definitions.registry_url import ProjectMissing
from skewless.runtime.settings import ProjectSettings

FEAST = Path(sys.executable).parent / "feast"
STORE = """
project: scratch
provider: local
registry:
  registry_type: sql
  path: sqlite:///registry.db?plugin=skewless
offline_store:
  type: file
online_store:
  type: sqlite
  path: online.db
entity_key_serialization_version: 3
"""
DEFINITIONS = """
from datetime import timedelta

from feast import Entity, FeatureView, Field, FileSource, ValueType
from feast.types import Float32

aircraft = Entity(name="aircraft", join_keys=["tailnum"], value_type=ValueType.STRING)
flown = FeatureView(
    name="flown",
    entities=[aircraft],
    ttl=timedelta(days=1),
    schema=[Field(name="hours", dtype=Float32)],
    source=FileSource(name="flown", path="flown.parquet", timestamp_field="event_timestamp"),
)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    repo = tmp_path / "project/feature_repo"
    repo.mkdir(parents=True)
    (repo / "feature_store.yaml").write_text(STORE)
    (repo / "definitions.py").write_text(DEFINITIONS)
    times = pa.array([0], pa.timestamp("us", "UTC"))
    row = {"tailnum": pa.array(["N1"]), "hours": pa.array([1.0], pa.float32()), "event_timestamp": times}
    pq.write_table(pa.table(row), repo / "flown.parquet")
    return repo.parent


@pytest.fixture(params=["sqlite", "postgresql"])
def environment(request: pytest.FixtureRequest, project: Path) -> dict[str, str]:
    """The variables of the operator, who names PostgreSQL or nothing."""
    if request.param == "sqlite":
        return {}
    return {"SKEWLESS_REGISTRY_URL": request.getfixturevalue("postgres_url")}


def feast(*arguments: str, cwd: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(
        [FEAST, *arguments],
        cwd=cwd,
        env=os.environ | {"FEAST_USAGE": "False"} | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def applied(url: str) -> dict[str, list[tuple[object, ...]]]:
    """What the registry says, table by table, but for the times at which it was said."""
    engine = create_engine(url)
    with engine.connect() as connection:
        told = {}
        for table in inspect(engine).get_table_names():
            columns = [column["name"] for column in inspect(engine).get_columns(table)]
            kept = [name for name in columns if "timestamp" not in name and name != "metadata_value"]
            rows = connection.execute(text(f"SELECT {', '.join(kept)} FROM {table}"))
            told[table] = sorted((tuple(_comparable(value) for value in row) for row in rows), key=repr)
    engine.dispose()
    return told


def _comparable(value: object) -> object:
    return bytes(value) if isinstance(value, memoryview) else value


def test_feast_finds_one_registry_from_every_folder(project: Path, environment: dict[str, str]):
    feast("-c", "feature_repo", "apply", cwd=project, environment=environment)
    named = environment.get("SKEWLESS_REGISTRY_URL")
    url = ProjectSettings(state=project / ".skewless", **({"registry_url": named} if named else {})).registry_url
    first = applied(url)
    assert [row[0] for row in first["feature_views"]] == ["flown"]

    told = feast("apply", cwd=project / "feature_repo", environment=environment)
    assert "No changes" in told, told
    assert applied(url) == first

    strays = {path.name for path in project.rglob("*.db")} - {"online.db"}
    assert strays == (set() if environment else {"registry.db"})
    assert (project / ".skewless/registry.db").exists() == (not environment)


def test_a_notebook_in_the_project_finds_it_too(project: Path, monkeypatch: pytest.MonkeyPatch):
    (project / "notebooks").mkdir()
    monkeypatch.chdir(project / "notebooks")
    engine = create_engine("sqlite:///registry.db?plugin=skewless")
    assert engine.url.database == str(project / ".skewless/registry.db")
    with engine.connect() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar_one() == "wal"
        assert connection.execute(text("PRAGMA busy_timeout")).scalar_one() == 10_000
    engine.dispose()


def test_outside_of_a_project_no_new_registry_is_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ProjectMissing, match="SKEWLESS_STATE or SKEWLESS_REGISTRY_URL"):
        create_engine("sqlite:///registry.db?plugin=skewless")
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setenv("SKEWLESS_STATE", str(tmp_path / "said"))
    engine = create_engine("sqlite:///registry.db?plugin=skewless")
    assert engine.url.database == str(tmp_path / "said/registry.db")


def test_a_bare_postgresql_url_takes_the_driver_that_is_installed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SKEWLESS_REGISTRY_URL", "postgresql://u:p@127.0.0.1:1/db")
    engine = create_engine("sqlite:///registry.db?plugin=skewless")
    assert (engine.dialect.name, engine.dialect.driver) == ("postgresql", "psycopg")
