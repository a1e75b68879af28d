"""What the engine refuses says what to do."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from feast import Field
from feast.types import Float64

from skewless.feast.errors import FeastUnsupported
from tests.tables.car_store import NOW, CarStore, car, online, view

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning:feast", "ignore::DeprecationWarning")


def test_a_run_without_event_times_is_refused_with_the_mend(
    tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SKEWLESS_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("SKEWLESS_REDIS_URL", redis_url)
    cars = CarStore(tmp_path, sql=True)
    store = cars.open()
    store.apply([car, view("trips", cars.table({"plate": [7], "x": [2.0]}), Field(name="x", dtype=Float64))])
    with pytest.raises(FeastUnsupported, match=r"--disable-event-timestamp yet; give the window"):
        store.materialize(NOW - timedelta(days=3), NOW, disable_event_timestamp=True)
    assert online(store, ["trips:x"], plate=[7])["x"] == [None]
