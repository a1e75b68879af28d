"""The benchmark of materialization measures what it says, and the table on the results page is the kept results."""

from __future__ import annotations

import json
from pathlib import Path
from shutil import which

import pytest
from redis import Redis

from skewless.contract.state_folder import StateFolders
from skewless.online.store import embedded_valkey
from tests.bench.materialize import contenders, table
from tests.bench.materialize.__main__ import PAGE, RESULTS
from tests.bench.materialize.report import MARK, bars, markdown

ENTITIES = 300


PIPE = pytest.param("redis_cli", marks=pytest.mark.skipif(which("redis-cli") is None, reason="redis-cli is not there"))


@pytest.mark.parametrize("name", [contenders.OURS, contenders.FLOOR, PIPE])
def test_contenders_leave_the_same_rows(tmp_path: Path, name: str):
    table.write(tmp_path / "table", ENTITIES, 2)
    found = {}
    for one in (name, contenders.OURS):
        with embedded_valkey.running(StateFolders(tmp_path / one), port=embedded_valkey.FREE_PORT) as server:
            assert getattr(contenders, one)(server.url, tmp_path / "table")() == 2 * ENTITIES
            with Redis.from_url(server.url) as client:
                keys = [key for key in client.scan_iter(count=1_000) if not key.startswith(b"skewless:")]
                found[one] = {key: client.hget(key, table.NAME) for key in keys}
    assert len(found[name]) == ENTITIES
    assert found[name] == found[contenders.OURS]
    assert contenders.peak_bytes() > 10_000_000


def test_the_bars_follow_the_measurements():
    results = json.loads(RESULTS.read_text())
    before = {bar.what: bar.found for bar in bars(results)}
    for one in results["rounds"][contenders.OURS]:
        one["seconds"] *= 1_000
    results["large"]["peak_bytes"] *= 1_000
    assert not any(bar.reached for bar in bars(results))
    assert all(bar.found != before[bar.what] for bar in bars(results))


def test_the_readmes_table_is_the_results():
    said = MARK.search(PAGE.read_text())
    assert said
    assert said[0] == markdown(json.loads(RESULTS.read_text())), "python -m tests.bench.materialize --paste"
