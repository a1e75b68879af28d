"""The windows that Feast gives the engine."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from feast import Field
from feast.types import Float64

from tests.tables.car_store import NOW, CarStore, car, instants, online, view

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning:feast", "ignore::DeprecationWarning")


def test_without_event_times_a_run_is_of_all_rows_until_now(
    tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SKEWLESS_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("SKEWLESS_REDIS_URL", redis_url)
    cars = CarStore(tmp_path, sql=True)
    store = cars.open()
    times = [datetime(1971, 1, 1, tzinfo=UTC), NOW - timedelta(hours=2), NOW + timedelta(days=400)]
    trips = cars.table({"plate": [7, 8, 9], "x": [2.0, 3.0, 4.0], "event_timestamp": instants(*times)})
    store.apply([car, view("trips", trips, Field(name="x", dtype=Float64), ttl=None)])
    store.materialize(NOW - timedelta(hours=3), NOW - timedelta(hours=1))
    assert online(store, ["trips:x"], plate=[7, 8, 9])["x"] == [None, 3.0, None]
    store.materialize(NOW - timedelta(hours=1), NOW, disable_event_timestamp=True)
    assert online(store, ["trips:x"], plate=[7, 8, 9])["x"] == [2.0, 3.0, None], "as training: the last is not yet true"
