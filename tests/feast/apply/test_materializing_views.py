"""A view is read while it is materialized, and after a run that was killed or failed: the last run's values, always."""

from __future__ import annotations

from pathlib import Path

import pytest
from feast import FeatureStore, Field
from feast.feature_view import FeatureViewState
from feast.types import Float64

from skewless.feast.materialization.engine import SkewlessEngine
from skewless.online.store.connection import RedisUnreachable
from tests.tables.car_store import CarStore, car, materialize, offline, online, view

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning:feast", "ignore::DeprecationWarning")


@pytest.fixture(autouse=True)
def _state(tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKEWLESS_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("SKEWLESS_REDIS_URL", redis_url)


@pytest.fixture(params=[True, False], ids=["sql", "file"])
def cars(tmp_path: Path, request: pytest.FixtureRequest) -> CarStore:
    return CarStore(tmp_path, sql=request.param)


def trips(cars: CarStore, factor: float = 2.0):
    return view("trips", cars.table({"plate": [7], "x": [7 * factor]}), Field(name="x", dtype=Float64))


@pytest.fixture
def store(cars: CarStore) -> FeatureStore:
    """A view that was materialized once."""
    store = cars.open()
    store.apply([car, trips(cars)])
    materialize(store)
    return store


def put(store: FeatureStore, state: FeatureViewState) -> None:
    stuck = store.registry.get_feature_view("trips", "cars")
    stuck.state = state
    store.registry.apply_feature_view(stuck, "cars")
    store.refresh_registry()


def read(store: FeatureStore) -> list[list[float]]:
    return [online(store, ["trips:x"], plate=[7])["x"], offline(store, ["trips:x"], plate=[7])["x"].to_pylist()]


@pytest.mark.parametrize("state", [FeatureViewState.MATERIALIZING, FeatureViewState.GENERATED])
def test_a_killed_run_blocks_nobody(cars: CarStore, store: FeatureStore, state: FeatureViewState):
    put(store, state)
    assert read(store) == read(cars.open()) == [[14.0], [14.0]]
    store.apply([car, trips(cars)])
    assert read(store) == [[14.0], [14.0]]
    materialize(store)
    assert read(store) == [[14.0], [14.0]]


def test_a_run_that_fails_after_a_killed_run_blocks_nobody(
    cars: CarStore, store: FeatureStore, redis_url: str, monkeypatch: pytest.MonkeyPatch
):
    put(store, FeatureViewState.MATERIALIZING)
    monkeypatch.setenv("SKEWLESS_REDIS_URL", "redis://127.0.0.1:1")
    with pytest.raises(RedisUnreachable):
        materialize(cars.open())
    monkeypatch.setenv("SKEWLESS_REDIS_URL", redis_url)
    assert read(cars.open()) == [[14.0], [14.0]]


def test_readers_read_while_another_process_materializes(
    cars: CarStore, store: FeatureStore, monkeypatch: pytest.MonkeyPatch
):
    """As `feast serve` beside `feast materialize`: each has a store of its own on one registry."""
    trips(cars, factor=3.0)
    reader, states, answers = cars.open(), [], []
    materialize_view = SkewlessEngine._materialize_one

    def between_reads(*run, **options):
        for step in (lambda: None, lambda: materialize_view(*run, **options)):
            job = step()
            reader.refresh_registry()
            states.append(reader.registry.get_feature_view("trips", "cars").state)
            answers.append(read(reader))
        return job

    monkeypatch.setattr(SkewlessEngine, "_materialize_one", between_reads)
    materialize(store)
    # Feast compares a view with the SQL registry's without its state, and leaves it there as it is.
    assert set(states) == {FeatureViewState.AVAILABLE_ONLINE if cars.sql else FeatureViewState.MATERIALIZING}
    assert [online for online, _ in answers] == [[14.0], [21.0]]
