"""The online benchmark's pieces work, so that its numbers can be believed. The benchmark itself is `make bench-online`."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from feast import FeatureStore
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from redis import Redis

from skewless.contract.model.assembler import Assembler, wanted_features
from skewless.contract.model.transforms import reference
from skewless.contract.state_folder import StateFolders
from skewless.contract.storage.lookup import OnlineRead
from skewless.contract.timestamps import from_micros
from skewless.online.store import embedded_valkey
from skewless.online.store.store import SyncOnlineStore
from tests.bench.online import load
from tests.bench.online.__main__ import PAGE, RESULTS
from tests.bench.online.contenders import OURS, STACK, Contender, wrong_scores
from tests.bench.online.feast_project import make_project
from tests.bench.online.layouts import _VALUES, write_feast, write_ours
from tests.bench.online.report import MARK, bars, markdown
from tests.bench.online.workload import (
    FIELDS,
    KEY,
    MODEL,
    PLAN,
    PROJECT,
    ROW_COUNTS,
    USED,
    VIEWS,
    Workload,
    bodies_file,
    drawn,
    predict_body,
    workload,
    write_bodies,
)

NOW = 1_795_000_000_000_000
ENTITIES = 40


@pytest.fixture(scope="module")
def work() -> Workload:
    return workload(ENTITIES, NOW)


@pytest.fixture
def tcp_redis(tmp_path: Path) -> Iterator[str]:
    with embedded_valkey.running(StateFolders(tmp_path / "redis"), port=embedded_valkey.FREE_PORT) as server:
        yield server.url


def test_our_layout_reads_back(work: Workload, redis_url: str):
    write_ours(redis_url, work)
    read = OnlineRead(PLAN, wanted_features(PLAN))
    asked = list(range(ENTITIES))
    batch = read.batch({KEY: asked}, ENTITIES)
    with Redis.from_url(redis_url) as client:
        admitted = read.decode(batch, SyncOnlineStore(client, PROJECT).read(batch.lookups), NOW)
    assembler = Assembler(PLAN, None)
    matrix = assembler.matrix(assembler.values(admitted, {}))
    assert matrix.tobytes() == work.matrix().tobytes()
    assert np.isnan(matrix).any()


def test_feasts_layout_is_what_feast_writes_and_reads(work: Workload, tcp_redis: str, tmp_path: Path):
    store = FeatureStore(str(make_project(tmp_path / "project", tcp_redis)))
    write_feast([tcp_redis], work)
    told = store.get_online_features(
        store.get_feature_service(MODEL), {KEY: list(range(ENTITIES))}, full_feature_names=True
    ).to_dict()
    matrix = np.array([told[reference(source)] for source in USED], np.float32).T
    assert np.array_equal(matrix, work.matrix(), equal_nan=True)
    with Redis.from_url(tcp_redis) as client:
        ours = dump(client)
        client.flushall()
        for view in store.list_feature_views():
            store._get_provider().online_write_batch(store.config, view, feast_rows(work, view.name), None)
        assert len(ours) == ENTITIES
        assert dump(client) == ours


def feast_rows(work: Workload, view: str) -> list[tuple[EntityKey, dict[str, Value], object, None]]:
    columns = work.columns[view]
    rows = []
    for entity in range(ENTITIES):
        key = EntityKey(join_keys=[KEY], entity_values=[Value(int64_val=entity)])
        values = {}
        for field in FIELDS:
            value = columns[field.name][entity].as_py()
            kind = _VALUES.get(field.dtype, "string_val")
            values[field.name] = Value() if value is None else Value(**{kind: value})
        rows.append((key, values, from_micros(int(work.event[entity])), None))
    return rows


def dump(client: Redis) -> Mapping[bytes, Mapping[bytes, bytes]]:
    return {key: client.hgetall(key) for key in client.scan_iter()}


def test_requests_name_random_entities(tmp_path: Path):
    write_bodies(tmp_path, ENTITIES)
    for rows in ROW_COUNTS:
        for kind in ("predict", "features"):
            lines = bodies_file(tmp_path, kind, rows).read_text().splitlines()
            assert len(set(lines)) >= min(len(lines), ENTITIES)
        asked = [[row[KEY] for row in json.loads(line)["rows"]] for line in lines_of(tmp_path, rows)]
        assert asked == drawn(rows, ENTITIES)


def lines_of(folder: Path, rows: int) -> list[str]:
    return bodies_file(folder, "predict", rows).read_text().splitlines()


@contextmanager
def recorder(answer: object) -> Iterator[tuple[Contender, list[str]]]:
    """A server that keeps the bodies and answers always the same."""
    seen: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            assert self.headers["Content-Type"] == "application/json"
            seen.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
            body = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *told: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield Contender("recorder", f"http://127.0.0.1:{server.server_port}", "/predict", "predict"), seen
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("tool", ["wrk", "k6"])
def test_loads_rotate_their_bodies(tmp_path: Path, tool: str):
    found_at, told = {"wrk": (load.wrk_path(), load.MISSING_WRK), "k6": (load.k6_path(), load.MISSING_K6)}[tool]
    if found_at is None:
        pytest.skip(told)  # a newcomer's machine has no wrk, and only the benchmark itself needs it
    write_bodies(tmp_path, 1_000_000)
    bodies = lines_of(tmp_path, 1)
    with recorder({}) as (contender, seen):
        if tool == "wrk":
            found = load.saturate(contender, tmp_path, rows=1, connections=1, seconds=1, offset=7)
            assert found["refused"] == found["broken"] == 0
            assert found["per_second"] == pytest.approx(found["requests"] / found["seconds"])
        else:
            found = load.arrive(contender, tmp_path, rows=1, connections=2, rate=50, seconds=1, offset=7)
            assert found["failed"] == 0
    assert seen[0] == bodies[0]  # the question that settles what was before
    loaded = seen[1:]
    assert len(loaded) >= found["requests"] > 10
    # wrk asks its script for one request that it never sends.
    left = Counter(bodies[7 : 8 + len(loaded)]) - Counter(loaded)
    assert left.total() == 1


def test_a_wrong_score_shows():
    class Unused:
        """No scorer: the answer has scores."""

    offline = np.full(ENTITIES, 0.5, np.float32)
    for given, wrong in ((0.5, 0), (0.75, 5)):
        with recorder({"scores": [given]}) as (contender, seen):
            asked = [1] * 5
            found = wrong_scores(contender, offline, Unused(), requests=[[one] for one in asked])
        assert seen == [predict_body([one]) for one in asked]
        assert found == {"rows": 5, "wrong": wrong, "greatest_gap": given - 0.5}


def test_the_bars_compare_the_right_way():
    results = json.loads(RESULTS.read_text())
    before = {bar.what: bar.found for bar in bars(results)}
    for one in results["throughput"]:
        if one["contender"] == OURS:
            one["per_second"] *= 1_000
        elif one["contender"] == STACK:
            one["p99_ms"] *= 1_000
    results["memory_bytes_an_entity"]["ours"] = 1.0
    after = {bar.what: bar for bar in bars(results)}
    better = [what for what, bar in after.items() if bar.reached and bar.found != before[what]]
    assert len(better) == 5
    assert markdown(results).count("| reached |") >= 5


def test_every_score_of_the_results_was_right():
    results = json.loads(RESULTS.read_text())
    assert [name for name, one in results["scores"].items() if one["wrong"]] == []
    assert sum(bool(one["refused"] or one["broken"]) for one in results["throughput"]) == 0


def test_the_readmes_tables_are_the_results():
    said = MARK.search(PAGE.read_text())
    assert said
    assert said[0] == markdown(json.loads(RESULTS.read_text())), "python -m tests.bench.online --paste"


def test_the_plan_is_the_issues_workload():
    assert len(VIEWS) == 5
    assert len(FIELDS) == 10
    assert len(USED) == 45
