from __future__ import annotations

import shutil
from pathlib import Path

import httpx
from redis import Redis

from tests.models import tiny
from tests.services.predict_server import ROW, Live, serving, settings_of
from tests.services.waiting import until


def test_a_ready_server(live: Live):
    assert live.client.get("/healthz").json() == {"status": "ok"}
    answer = live.client.get("/readyz")
    assert answer.status_code == 200
    part = {"ready": True, "reason": None, "refused": None}
    assert answer.json() == {
        "ready": True,
        "reason": None,
        "store": {**part, "version": None},
        "models": {"tiny": {**part, "version": "1.0.0"}},
    }


def not_ready(client: httpx.Client) -> str:
    answer = client.get("/readyz")
    assert answer.status_code == 503
    reason: str = answer.json()["reason"]
    return reason


def test_a_server_without_models_is_not_ready(tmp_path: Path, redis_url: str):
    with serving(settings_of(tmp_path, redis_url)) as live:
        assert "holds no champion; run `skewless publish`" in not_ready(live.client)
        assert live.client.get("/healthz").status_code == 200


def test_a_server_without_redis_is_not_ready_and_says_where_it_looked(state: Path):
    with serving(settings_of(state, "redis://user:hidden@127.0.0.1:1/0?password=hidden")) as live:
        reason = not_ready(live.client)
        assert "the online store at redis://user:***@127.0.0.1:1/0?password=*** cannot be reached" in reason
        assert "hidden" not in live.client.get("/readyz").text
        answer = live.predict(ROW)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
        assert "hidden" not in answer.text


def test_a_model_whose_bundle_is_broken_answers_503_with_the_reason(state: Path, stored: str):
    broken = state / "models" / tiny.NAME / "3.0.0"
    shutil.copytree(state / "models" / tiny.NAME / "1.0.0", broken)
    (broken / "model.onnx").write_bytes(b"")
    tiny.promote(state / "models", "3.0.0")
    with serving(settings_of(state, stored)) as live:
        assert "model.onnx is not the file that was published" in not_ready(live.client)
        answer = live.predict(ROW)
        assert answer.status_code == 503
        assert answer.json()["type"] == "urn:skewless:problem:model-not-ready"
        assert "model.onnx is not the file" in answer.json()["detail"]
        tiny.promote(state / "models", "1.0.0")
        until(lambda: live.client.get("/readyz").status_code == 200)
        assert live.predict(ROW).status_code == 200


def test_a_model_trained_on_other_definitions_answers_503_and_names_them(state: Path, stored: str):
    other = tiny.PlanView("delays", "delays", tiny.DELAYS.join_keys, tiny.DELAYS.fields[1:], 60, tiny.DELAYS.known_by)
    tiny.write_catalog(stored, tiny.plan(delays=other))
    with serving(settings_of(state, stored)) as live:
        reason = not_ready(live.client)
        assert "delays: ttl was 3:00:00 in training and is 0:00:00.00006" in reason
        assert "feature mean was Float32 in training and is absent" in reason
        assert live.predict(ROW).status_code == 503
        tiny.write_catalog(stored)
        until(lambda: live.predict(ROW).status_code == 200)
        with Redis.from_url(stored) as client:
            client.flushall()
        until(lambda: live.predict(ROW).status_code == 503)
        assert "nothing was materialized" in not_ready(live.client)


def test_metrics(live: Live):
    live.score(ROW, {**ROW, "tailnum": "nobody"})
    live.predict({})
    live.client.post("/v1/models/a-name-somebody-made-up/predict", json={})
    assert live.metric('skewless_requests_total{model="tiny",status="200"}') == 1
    assert live.metric('skewless_requests_total{model="tiny",status="422"}') == 1
    assert live.metric('skewless_requests_total{model="",status="404"}') == 1
    assert live.metric('skewless_rows_total{model="tiny",role="champion",version="1.0.0"}') == 2
    assert live.metric('skewless_view_status_total{model="tiny",status="NOT_FOUND",view="planes"}') == 1
    assert live.metric('skewless_model_ready{model="tiny"}') == 1
    assert "made-up" not in live.client.get("/metrics").text
