from __future__ import annotations

from tests.models import tiny
from tests.services.predict_server import Live


def test_the_list(live: Live):
    listed = {"name": "tiny", "version": "1.0.0", "ready": True, "reason": None}
    assert live.client.get("/v1/models").json() == {"models": [listed]}


def test_a_model_tells_what_it_takes(live: Live):
    body = live.client.get("/v1/models/tiny").json()
    assert body["contract"] == tiny.plan().fingerprint
    assert body["exact"] is True
    assert body["inputs"] == {
        "join_keys": [{"name": "origin", "type": "String"}, {"name": "tailnum", "type": "String"}],
        "request": [{"name": "hour", "type": "Int64"}],
    }
    assert body["columns"] == ["mean", "departures", "age", "hour", "swell"]
    assert body["views"][0]["ttl_seconds"] == 10_800.0
    assert live.predict(body["example"]).status_code == 200


def test_an_unknown_model(live: Live):
    answer = live.client.get("/v1/models/none")
    assert answer.status_code == 404
    assert answer.json()["type"] == "urn:skewless:problem:unknown-model"
