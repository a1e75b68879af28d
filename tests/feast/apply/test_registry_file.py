"""Readers in other processes see a whole registry at any time, whatever is written to it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from feast import FeatureStore, Field, RepoConfig
from feast.types import Float64

from tests.tables.car_store import CarStore, car, materialize, online, view

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning:feast", "ignore::DeprecationWarning")

READS = 150
WRITER = """
import contextlib, io, select, sys
from pathlib import Path
from tests.tables.car_store import CarStore, materialize

store = CarStore(Path(sys.argv[1]), sql=sys.argv[2] == "sql").open()
for _ in range(10_000):
    with contextlib.redirect_stdout(io.StringIO()):
        materialize(store)
    print("materialized", flush=True)
    if select.select([sys.stdin], [], [], 0)[0]:
        break
"""


@pytest.fixture(autouse=True)
def _state(tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKEWLESS_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("SKEWLESS_REDIS_URL", redis_url)


def applied(cars: CarStore) -> FeatureStore:
    store = cars.open()
    store.apply([car, view("trips", cars.table({"plate": [7], "x": [14.0]}), Field(name="x", dtype=Float64))])
    materialize(store)
    return store


def read_of(reader: FeatureStore) -> object:
    try:
        return online(reader, ["trips:x"], plate=[7])["x"]
    except Exception as error:  # noqa: BLE001 - each is counted
        return type(error)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("registry", ["file", "sql"])
def test_no_read_fails_while_another_process_materializes(tmp_path: Path, registry: str):
    cars = CarStore(tmp_path, sql=registry == "sql")
    applied(cars)
    command = [sys.executable, "-W", "ignore", "-c", WRITER, str(tmp_path), registry]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        try:
            assert writer.stdout.readline() == "materialized\n"
            readers = [cars.open() for _ in range(2)]
            answers = []
            for read in range(READS):
                reader = readers[read % 2]
                if read % 2:
                    reader.refresh_registry()
                answers.append(read_of(reader))
        finally:
            written, _ = writer.communicate("end\n", timeout=120)
    assert writer.returncode == 0
    assert written.count("materialized") >= 1
    assert [answer for answer in answers if answer != [14.0]] == []


def test_an_opened_registry_stays_whole_and_nothing_is_left_beside_it(tmp_path: Path):
    store = applied(CarStore(tmp_path))
    file = tmp_path / "registry.pb"
    file.chmod(0o660)
    before = file.read_bytes()
    with file.open("rb") as opened:
        store.registry.commit()
        assert opened.read() == before != file.read_bytes()
    assert file.stat().st_mode & 0o777 == 0o660
    assert [name.name for name in tmp_path.glob("*registry*")] == ["registry.pb"]


def test_a_link_to_a_registry_stays_a_link(tmp_path: Path):
    shared = tmp_path / "shared" / "registry.pb"
    (tmp_path / "registry.pb").symlink_to(shared)
    shared.parent.mkdir()
    applied(CarStore(tmp_path))
    assert (tmp_path / "registry.pb").is_symlink()
    assert CarStore(tmp_path).open().get_feature_view("trips").name == "trips"
    assert shared.exists()


def test_registries_of_projects_on_other_stores_are_left_to_feast(tmp_path: Path):
    config = RepoConfig(
        project="cars",
        provider="local",
        registry=str(tmp_path / "registry.pb"),
        repo_path=tmp_path,
        entity_key_serialization_version=3,
        online_store={"type": "sqlite", "path": str(tmp_path / "online.db")},
    )
    (tmp_path / "ours").mkdir()
    applied(CarStore(tmp_path / "ours"))  # in the same process
    assert FeatureStore(config=config).registry._registry_store.__class__.__name__ == "FileRegistryStore"
