"""What Feast writes has deadlines too where the server is to remove rows by itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest
from feast.data_source import PushMode
from redis import Redis

from skewless.contract.storage.catalog import catalog_key
from skewless.contract.storage.expiry_mode import EXPIRY, ExpiryMode
from tests.oracles import entity_key
from tests.services.waiting import until
from tests.tables.scratch_project import ScratchProject

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning:feast", "ignore::DeprecationWarning")
KEPT = timedelta(days=3)
"""A day of ttl, and of grace, twice."""


def test_written_and_pushed_rows_vanish_by_themselves(project: ScratchProject, redis: Redis):
    redis.hset(catalog_key("scratch"), EXPIRY, ExpiryMode.SERVER.encode())
    store, now = project.store(), datetime.now(UTC)
    ages = {"N1": KEPT - timedelta(seconds=3), "N2": timedelta(0), "N3": KEPT + timedelta(hours=1)}
    rows = pd.DataFrame({"tailnum": list(ages), "fuel": [1.0, 2.0, 3.0], "gate": [1, 2, 3]})
    rows["event_timestamp"] = rows["created_timestamp"] = pd.to_datetime([now - age for age in ages.values()])
    keys = {tail: entity_key("scratch", {"tailnum": ("String", tail)}) for tail in ages}
    store.push("tell", rows, to=PushMode.ONLINE)
    assert [redis.hexists(key, "told") for key in keys.values()] == [True, True, False]
    until(lambda: not redis.hexists(keys["N1"], "told"))
    (lives,) = redis.execute_command("HPTTL", keys["N2"], "FIELDS", 1, "told")
    assert lives == pytest.approx(KEPT / timedelta(milliseconds=1), abs=60_000)
