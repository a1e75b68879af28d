from __future__ import annotations

import threading
from pathlib import Path
from zlib import crc32

import httpx
import numpy as np
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from skewless.contract.storage.served_row import served_schema
from skewless.online.store.valkey_process import free_port
from skewless.registry.bundle_folder import open_bundle
from skewless.registry.cpu_features import processor_features
from skewless.runtime.predict_server import server
from skewless.server.metrics.counters import ServerMetrics
from skewless.server.served_log import ServedLogWriter
from tests.models import tiny
from tests.services.predict_server import PREDICT, ROW, Live, serving, settings_of
from tests.services.served_log_rows import logged
from tests.services.waiting import HANG_SECONDS, until

WRITTEN = "skewless_served_log_written_rows_total"
DROPPED = "skewless_served_log_dropped_rows_total"
UNSAMPLED = "skewless_served_log_unsampled_rows_total"
LOST = "skewless_served_log_lost_rows_total"


def test_what_is_logged_is_what_was_used(live: Live):
    rows = [ROW, {"origin": "nobody", "tailnum": None, "hour": None}]
    body = live.score(*rows, explain="features")
    until(lambda: live.metric(WRITTEN) == 2)
    first, second = logged(live.settings.served_log)
    assert [first["row"], second["row"]] == [0, 1]
    assert first["request_id"] == body["request_id"]
    assert first["served_at"].isoformat() == "2013-10-01T12:00:00+00:00"
    assert (first["entity:origin"], first["entity:tailnum"], first["request:hour"]) == ("JFK", "N1", 8)
    assert (second["entity:origin"], second["entity:tailnum"], second["request:hour"]) == (
        "nobody",
        None,
        None,
    )
    assert (first["delays:status"], second["delays:status"]) == (0, 2)
    assert first["delays:event_timestamp"].isoformat() == "2013-10-01T11:30:00+00:00"
    assert first["delays:created_timestamp"].isoformat() == "2013-10-01T11:31:00+00:00"
    assert second["delays:event_timestamp"] is None
    matrix = np.array([row["model_input"] for row in (first, second)], np.float32)
    bundle = open_bundle(live.settings.models / tiny.NAME / "1.0.0", processor_features())
    scores = np.array([row["score"] for row in (first, second)], np.float32)
    assert bundle.scorer.score(matrix).tobytes() == scores.tobytes()
    assert np.array(body["scores"], np.float32).tobytes() == scores.tobytes()
    values = [None if np.isnan(value) else float(value) for value in matrix[0]]
    names = ("delays__mean", "delays__departures", "planes__age", "hour", "rush__swell")
    told = [body["features"][0][name]["value"] for name in names]
    assert values == [float(np.float32(value)) for value in told]


def test_files_lie_by_model_version_and_day(live: Live):
    live.score(ROW)
    live.score(ROW, as_of="2013-10-02T00:00:00Z")
    tiny.promote(live.settings.models, "2.0.0")
    until(lambda: live.score(ROW)["version"] == "2.0.0")
    until(lambda: live.metric("skewless_served_log_waiting_rows") == 0)
    folders = {str(f.parent.relative_to(live.settings.served_log)) for f in live.settings.served_log.rglob("*.parquet")}
    assert folders == {
        "model=tiny/version=1.0.0/day=2013-10-01",
        "model=tiny/version=1.0.0/day=2013-10-02",
        "model=tiny/version=2.0.0/day=2013-10-01",
    }
    (some, *_) = live.settings.served_log.rglob("*.parquet")
    assert pq.read_schema(some).remove_metadata() == served_schema(tiny.plan())


def test_readers_do_not_see_unfinished_files(live: Live):
    live.score(ROW)
    until(lambda: live.metric(WRITTEN) == 1)
    (file,) = live.settings.served_log.rglob("*.parquet")
    (file.parent / ".half.parquet.tmp").write_bytes(b"PAR1")
    found = ds.dataset(live.settings.served_log, format="parquet", partitioning="hive")
    assert found.count_rows() == 1


def test_a_stop_writes_what_waits(state: Path, stored: str):
    with serving(settings_of(state, stored, served_log_flush_s=600)) as live:
        live.score(*[ROW] * 10)
        assert logged(live.settings.served_log) == []
    assert len(logged(live.settings.served_log)) == 10


def test_a_full_queue_drops_and_counts(state: Path, stored: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("skewless.server.served_log.ServedLogWriter.start", lambda log: None)
    with serving(settings_of(state, stored, served_log_rows=10)) as live:
        for rows in (6, 6, 4, 1):
            live.score(*[ROW] * rows)
        assert live.metric(DROPPED) == 7
        assert live.metric("skewless_served_log_waiting_rows") == 10


def test_a_half_full_queue_is_written_at_once(state: Path, stored: str):
    with serving(settings_of(state, stored, served_log_rows=10, served_log_flush_s=600)) as live:
        live.score(*[ROW] * 6)
        until(lambda: live.metric(WRITTEN) == 6)


def test_no_log_where_none_is_wanted(state: Path, stored: str):
    with serving(settings_of(state, stored, served_log_rows=0)) as live:
        live.score(ROW)
        assert live.metric(DROPPED) == 0
    assert not live.settings.served_log.exists()


def test_a_disk_error_is_counted_and_requests_go_on(state: Path, stored: str):
    (state / "served").write_text("a file where the folder should be")
    with serving(settings_of(state, stored)) as live:
        live.score(ROW)
        until(lambda: live.metric(LOST) == 1)
        (state / "served").unlink()
        live.score(ROW)
        until(lambda: live.metric(WRITTEN) == 1)
        assert live.metric("skewless_served_log_waiting_rows") == 0


def test_a_share_of_the_requests_is_logged_whole_and_chosen_by_id(state: Path, stored: str):
    with serving(settings_of(state, stored, served_log_share=0.5)) as live:
        asked = [live.score(*[ROW] * 3)["request_id"] for _ in range(60)]
        until(lambda: live.metric(WRITTEN) + live.metric(UNSAMPLED) == 180)
    rows = [row["request_id"] for row in logged(live.settings.served_log)]
    assert set(rows) == {name for name in asked if crc32(name.encode()) < 2**31}
    assert all(rows.count(name) == 3 for name in set(rows))
    assert 10 < len(set(rows)) < 50


def test_a_share_of_nothing_writes_no_file(state: Path, stored: str):
    with serving(settings_of(state, stored, served_log_share=0.0)) as live:
        live.score(ROW)
        until(lambda: live.metric(UNSAMPLED) == 1)
    assert logged(live.settings.served_log) == []


def test_a_killed_server_loses_what_came_after_the_last_flush_at_most(state: Path, stored: str):
    flush_s = 2.0
    settings = {
        "SKEWLESS_STATE": str(state),
        "SKEWLESS_REDIS_URL": stored,
        "SKEWLESS_SERVED_LOG_FLUSH_S": str(flush_s),
    }
    answered: list[str] = []
    with server(settings, free_port(), state / "server.log") as running, httpx.Client(base_url=running.url) as client:

        def ask() -> None:
            answer = client.post(PREDICT, json={"rows": [ROW]})
            assert answer.status_code == 200
            answered.append(answer.json()["request_id"])

        def asked_until_files(number: int) -> bool:
            ask()
            return len(list((state / "served").rglob("[!.]*.parquet"))) == number

        until(lambda: asked_until_files(1))
        before = len(answered)
        until(lambda: asked_until_files(2))
        ask()
        running.process.kill()
        running.process.wait(HANG_SECONDS)
    kept = {row["request_id"] for row in logged(state / "served")}
    assert kept == set(answered[: len(kept)]), "no row that was answered before a kept one is lost"
    assert before <= len(kept) < len(answered), "it was killed in between, with a row that waited"


def test_waiting_rows_are_written_every_flush_s(tmp_path: Path):
    class RecordedWaits(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            waits.append(timeout)
            return super().wait(0.001)

    waits: list[float | None] = []
    writer = ServedLogWriter(tmp_path, ServerMetrics(None), capacity=10, flush_s=7.0)
    flushes: list[int] = []
    writer.flush = lambda: flushes.append(len(waits))  # type: ignore[method-assign]
    writer._wake = RecordedWaits()
    writer.start()
    until(lambda: len(flushes) > 3)
    writer.close()
    assert set(waits) == {7.0}
    assert flushes[:3] == [1, 2, 3], "after each wait"
