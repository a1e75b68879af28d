"""A repository that Feast ran on its own stores, moved to ours and run on."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skewless.project.migration import migration
from skewless.project.migration.former_store import KEPT
from skewless.project.migration.migration import FormerFileDiffers, MigrationRefused, NoFeastRepository
from skewless.sdk import Project
from tests.checkout import ROOT
from tests.scaffold.own_project import command
from tests.services.serve_process import SKEWLESS

FEAST = str(SKEWLESS.with_name("feast"))
NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)
YAML = """\
project: cars
registry: data/registry.db  # as Feast makes it
provider: local
online_store:
    type: sqlite
    path: data/online.db
entity_key_serialization_version: 3
"""
DEFINITIONS = """\
from datetime import timedelta
from feast import Entity, FeatureView, Field, FileSource, ValueType
from feast.types import Float32, Int64

car = Entity(name="car", join_keys=["plate"], value_type=ValueType.INT64)
trips = FeatureView(
    name="trips",
    entities=[car],
    ttl=timedelta(days=3),
    schema=[Field(name="km", dtype=Float32), Field(name="seats", dtype=Int64)],
    source=FileSource(
        name="trips", path="data/trips.parquet", timestamp_field="event_timestamp", created_timestamp_column="created"
    ),
)
"""
ROWS = [
    # plate, km, seats, event, created
    (1, 0.5, 4, NOW - DAY, NOW - DAY),
    (1, 0.1, 4, NOW - 2 * DAY, NOW - 2 * DAY),
    (2, 1.5, 4, NOW - 9 * DAY, NOW - 9 * DAY),  # out of ttl
    (3, 2.5, 4, NOW - DAY, NOW - DAY),
    (3, 3.5, 4, NOW - DAY, NOW - DAY / 2),  # a correction
    (4, 4.5, 4, NOW - 2 * DAY, NOW - DAY / 4),  # late
    (4, 5.5, 4, NOW + 5 * DAY, NOW + 5 * DAY),  # the future
    (5, 6.5, 4, NOW - DAY, NOW - DAY),
    (5, 7.5, 4, NOW - DAY, NOW - DAY),  # an exact tie
]


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    folder = tmp_path / "cars" / "feature_repo"
    (folder / "data").mkdir(parents=True)
    (folder / "feature_store.yaml").write_text(YAML)
    (folder / "definitions.py").write_text(DEFINITIONS)
    plate, km, seats, event, created = zip(*ROWS, strict=True)
    us = pa.timestamp("us", "UTC")
    columns = {
        "plate": plate,
        "km": km,
        "seats": seats,
        "event_timestamp": pa.array(event, us),
        "created": pa.array(created, us),
    }
    pq.write_table(pa.table(columns), folder / "data" / "trips.parquet")
    return folder


def values(repo: Path, redis_url: str) -> dict[str, list[object]]:
    words = [word for plate in range(1, 6) for word in ("-e", f"plate={plate}")]
    printed = command(repo, redis_url, FEAST, "get-online-features", *words[:2], "-f", "trips:km", "-f", "trips:seats")
    return json.loads(printed[printed.index("{") :])


def test_what_differs_is_counted_and_the_rest_goes_on(repo: Path, redis_url: str):
    command(repo, redis_url, FEAST, "apply")
    command(repo, redis_url, FEAST, "materialize", "2020-01-01T00:00:00", f"{NOW:%Y-%m-%dT%H:%M:%S}")
    before = values(repo, redis_url)

    seen = sorted((path, path.stat().st_mtime_ns) for path in repo.parent.rglob("*"))
    found = command(repo.parent, redis_url, str(SKEWLESS), "doctor", "--from-feast", ".").splitlines()
    assert sorted((path, path.stat().st_mtime_ns) for path in repo.parent.rglob("*")) == seen
    assert f"{repo}: 7 differences from Feast's answers" in found[0]

    printed = command(repo.parent, redis_url, str(SKEWLESS), "init", "--from-feast", ".")
    assert found[1:] == printed.splitlines()[1 : len(found)]
    told = printed.replace("\n", " ")
    assert "trips: 9 rows of 5 entities" in told
    assert "ttl online: 1 entities have no row within the ttl" in told
    assert "future: 1 rows have event times to come" in told
    assert "corrections: 1 keys" in told
    assert "late rows: 1 rows" in told
    assert "known since: 2 rows" in told
    assert "exact ties: 1 keys" in told
    assert "Float32: 1 values of km" in told
    assert "the rows in sqlite (data/online.db) stay there" in told
    assert (repo / KEPT).read_text() == YAML
    assert "registry: data/registry.db  # as Feast makes it" in (repo / "feature_store.yaml").read_text()

    command(repo, redis_url, FEAST, "apply")
    # Feast asks for what came since its own last run, which our store knows nothing of.
    command(repo, redis_url, FEAST, "materialize-incremental", f"{NOW:%Y-%m-%dT%H:%M:%S}")
    assert values(repo, redis_url) == before == {"plate": [1], "km": [0.5], "seats": [4]}
    status = command(repo, redis_url, str(SKEWLESS), "status")
    assert f"registry      {repo / 'data' / 'registry.db'}" in status
    assert "5 compared, no differences" in command(repo, redis_url, str(SKEWLESS), "verify")

    again = command(repo, redis_url, str(SKEWLESS), "init", "--from-feast", ".")
    assert "is on our stores already" in again
    assert (repo / KEPT).read_text() == YAML


def test_a_named_copy_is_moved_and_the_original_stays(repo: Path, redis_url: str):
    before = sorted(repo.parent.rglob("*"))
    folder = repo.parent.parent
    printed = command(folder, redis_url, str(SKEWLESS), "init", "moved", "--from-feast", "cars")
    assert "next: cd moved && skewless apply" in printed
    assert sorted(repo.parent.rglob("*")) == before
    assert (repo / "feature_store.yaml").read_text() == YAML
    assert (folder / "moved" / "feature_repo" / KEPT).read_text() == YAML
    refused = command(folder, redis_url, str(SKEWLESS), "init", "moved", "--from-feast", "cars", status=2)
    assert "exists and is not an empty folder" in refused


def test_what_does_not_apply_is_not_moved(repo: Path):
    (repo / "definitions.py").write_text(DEFINITIONS + "\n1 / 0\n")
    with pytest.raises(MigrationRefused, match=r"definitions\.py, line 16 \(`1 / 0`\): ZeroDivisionError"):
        migration.plan(repo, NOW)
    assert sorted(path.name for path in repo.iterdir()) == ["data", "definitions.py", "feature_store.yaml"]
    assert (repo / "feature_store.yaml").read_text() == YAML


def test_the_doctor_says_law_view_and_count(repo: Path):
    found = Project.doctor(repo)
    assert found.complete
    assert [(one.law, one.view, one.what, one.count) for one in found.differences] == [
        ("One admission rule", "trips", "ttl online", 1),
        ("One admission rule", "trips", "future", 1),
        ("Newest wins", "trips", "corrections", 1),
        ("Newest wins", "trips", "late rows", 1),
        ("One admission rule", "trips", "known since", 2),
        ("Online(t) = offline(t)", "trips", "exact ties", 1),
        ("Online(t) = offline(t)", "trips", "Float32", 1),
    ]
    laws = (ROOT / "infra/docs/concepts/laws.md").read_text()
    assert all(f"**{one.law}" in laws for one in found.differences)


def test_a_missing_table_is_told_and_a_kept_file_is_not_overwritten(repo: Path):
    (repo / "data" / "trips.parquet").unlink()
    (repo / KEPT).write_text("another")
    move = migration.plan(repo, NOW)
    assert any("not counted: trips" in line and "trips.parquet" in line for line in move.lines())
    found = Project.doctor(repo)
    assert not found.complete
    assert found.differences == []
    assert "no differences from Feast's answers; 1 views were not counted" in str(found)
    with pytest.raises(FormerFileDiffers, match="move it away"):
        move.make()
    assert (repo / "feature_store.yaml").read_text() == YAML


def test_a_folder_without_a_store_file_is_refused(tmp_path: Path):
    with pytest.raises(NoFeastRepository, match=r"has no feature_store\.yaml"):
        migration.plan(tmp_path, NOW)
