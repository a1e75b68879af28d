"""Canary, shadow and pins of a running server: who answers, what is logged, and what ends a trial."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from redis import Redis

from skewless.contract.plan import Field
from skewless.contract.rollout.rollout import Canary
from skewless.contract.rollout.traffic_split import draw
from skewless.contract.storage.entity_key import EntityKeyEncoder
from skewless.registry.model_registry import ModelRegistry
from skewless.server.rollout.router import ModelRouter
from tests.models import tiny
from tests.services.predict_server import PREDICT, ROW, Live, serving, settings_of
from tests.services.served_log_rows import logged
from tests.services.waiting import until

ROWS = [{"origin": "JFK", "tailnum": f"N{number}", "hour": 8} for number in range(60)]
HALF = Canary("2.0.0", 0.5, ("tailnum",))
TRIAL = {"version": "2.0.0", "weight": 0.5, "by": ["tailnum"]}


def expected(rows: list[dict[str, Any]], canary: Canary = HALF) -> list[str]:
    columns = {name: [row[name] for row in rows] for name in ("origin", "tailnum")}
    drawn = draw(tiny.plan(), tiny.NAME, canary)("any", columns, len(rows))
    return ["2.0.0" if one else "1.0.0" for one in drawn]


def roll_out(live: Live, **members: Any) -> None:
    """Change the rollout, and wait until it is in force."""
    tiny.roll_out(live.settings.models, **members)
    number = len(list((live.settings.models / tiny.NAME / "rollout").iterdir()))
    until(lambda: live.samples()['skewless_rollout_revision{model="tiny"}'] == number)
    until(lambda: part(live)["refused"] is None)


def part(live: Live) -> dict[str, Any]:
    found: dict[str, Any] = live.client.get("/readyz").json()["models"][tiny.NAME]
    return found


def test_one_entity_is_answered_by_one_version_alone_and_in_company(live: Live):
    roll_out(live, canary=TRIAL)
    want = expected(ROWS)
    assert {"1.0.0", "2.0.0"} == set(want)
    alone = [live.score(row) for row in ROWS]
    assert [one["version"] for one in alone] == want
    together = live.score(*ROWS)
    assert together["versions"] == want
    assert together["version"] == "1.0.0"
    assert together["scores"] == [one["scores"][0] for one in alone]
    assert "versions" not in alone[0]
    features = live.score(*ROWS, explain="features")["features"]
    assert [one["hour"]["value"] for one in features] == [8] * 60
    assert features[1] == live.explain(ROWS[1])
    until(lambda: live.metric("skewless_served_log_written_rows_total") == 181)
    rows = [row for row in logged(live.settings.served_log) if row["request_id"] == together["request_id"]]
    rows.sort(key=lambda row: row["row"])
    assert [row["entity:tailnum"] for row in rows] == [row["tailnum"] for row in ROWS], "in the request's places"
    assert [row["version"] for row in rows] == want
    assert {(row["version"], row["role"]) for row in rows} == {("1.0.0", "champion"), ("2.0.0", "canary")}
    assert np.array([row["score"] for row in rows], np.float32).tolist() == together["scores"]


def test_a_refused_request_is_refused_once_whoever_would_answer(live: Live):
    roll_out(live, canary=TRIAL)
    tiny.write_row(live.settings.redis_url, tiny.PLANES, "N2", {"age": 1.0}, event=0)
    assert live.predict(*ROWS, {"origin": "JFK"}).status_code == 422
    assert live.score(*ROWS)["versions"] == expected(ROWS)


def test_a_shadow_is_asked_what_was_answered_and_answers_nobody(live: Live):
    roll_out(live, shadow="2.0.0")
    told = [live.score(row) for row in ROWS]
    assert {one["version"] for one in told} == {"1.0.0"}
    until(lambda: live.metric("skewless_served_log_written_rows_total") == 120)
    rows = logged(live.settings.served_log)
    shadows = {row["request_id"]: row for row in rows if row["role"] == "shadow"}
    assert {row["version"] for row in shadows.values()} == {"2.0.0"}
    assert shadows.keys() == {one["request_id"] for one in told}
    assert all(row["score"] != one["scores"][0] for one in told for row in [shadows[one["request_id"]]])
    assert live.metric('skewless_requests_total{model="tiny",status="200"}') == 60, "a shadow's are no requests"
    assert live.metric('skewless_rows_total{model="tiny",role="shadow",version="2.0.0"}') == 60


def test_a_version_is_pinned_by_name_if_the_rollout_names_it(live: Live):
    pinned = PREDICT.replace("tiny", "tiny@2.0.0")
    body = {"rows": [ROW]}
    refused = live.client.post(pinned, json=body)
    assert refused.status_code == 404
    assert "`skewless models pin tiny 2.0.0` adds one" in refused.json()["detail"]
    roll_out(live, pinned=["2.0.0"])
    told = live.client.post(pinned, json=body).json()
    assert (told["model"], told["version"]) == ("tiny", "2.0.0")
    assert live.score(ROW)["version"] == "1.0.0"
    named = live.client.post(pinned.replace("2.0.0", "1.0.0"), json={**body, "explain": "features"})
    assert named.json()["version"] == "1.0.0", "the champion may be named too"
    assert live.client.post(pinned.replace("@", "%40"), json=body).json()["version"] == "2.0.0"
    assert live.client.post(pinned, json={"rows": [{}]}).status_code == 422
    until(lambda: live.metric("skewless_served_log_written_rows_total") == 4)
    roles = sorted((row["version"], row["role"]) for row in logged(live.settings.served_log))
    assert roles == [("1.0.0", "champion"), ("1.0.0", "pinned"), ("2.0.0", "pinned"), ("2.0.0", "pinned")]
    roll_out(live, pinned=[])
    until(lambda: live.client.post(pinned, json=body).status_code == 404)


@pytest.mark.parametrize("role", ["canary", "shadow"])
def test_a_bad_bundle_beside_the_champion_is_left_out_and_told(live: Live, role: str):
    bad = tiny.write_bundle(live.settings.models, "3.0.0")
    (bad / "model.onnx").write_bytes(b"")
    version: Any = {"version": "3.0.0", "weight": 1.0} if role == "canary" else "3.0.0"
    tiny.roll_out(live.settings.models, **{role: version})
    until(lambda: part(live)["refused"])
    assert f"{role} 3.0.0: " in str(part(live)["refused"])
    assert part(live)["ready"] is True
    assert {live.score(row)["version"] for row in ROWS[:8]} == {"1.0.0"}


def test_a_canary_that_takes_other_requests_is_left_out(live: Live):
    wider = tiny.with_request(tiny.plan(), Field("extra", "Int64"))
    tiny.write_bundle(live.settings.models, "3.0.0", contract=wider)
    tiny.roll_out(live.settings.models, canary={"version": "3.0.0", "weight": 1.0})
    until(lambda: "takes other requests than the champion 1.0.0" in str(part(live)["refused"]))
    assert live.score(ROW)["version"] == "1.0.0"


def test_a_canary_beyond_its_bounds_is_withdrawn_with_the_reason(live: Live):
    bounds = {"least_requests": 60, "most_errors": None, "most_slow": None, "most_drift": 0.1, "confidence": 0.9}
    roll_out(live, canary={**TRIAL, "bounds": bounds})
    registry = ModelRegistry(live.settings.models, live.settings.models)
    for _ in range(8):
        live.score(*ROWS)
        for row in ROWS:
            live.predict(row)
    until(lambda: registry.rollout(tiny.NAME).canary is None)
    change = registry.rollout(tiny.NAME).change
    assert change.what == "withdraw canary 2.0.0"
    assert change.by.startswith("server on ")
    assert "off the champion's" in change.reason
    until(lambda: {live.score(row)["version"] for row in ROWS} == {"1.0.0"})
    assert live.metric('skewless_canary_withdrawals_total{model="tiny",version="2.0.0"}') == 1


def test_a_sound_canary_stays(live: Live):
    bounds = {"least_requests": 20, "most_slow": None, "most_drift": 0.9}
    roll_out(live, canary={**TRIAL, "bounds": bounds})
    for row in ROWS * 3:
        live.score(row)
    registry = ModelRegistry(live.settings.models, live.settings.models)
    assert registry.rollout(tiny.NAME).canary == Canary(
        "2.0.0", 0.5, ("tailnum",), registry.rollout(tiny.NAME).canary.bounds
    )


def test_metrics_tell_versions_and_roles_apart(live: Live):
    with Redis.from_url(live.settings.redis_url) as client:
        client.hset(EntityKeyEncoder("tests", ["tailnum"], ["String"]).encode(["N2"]), "planes", b"cut")
    roll_out(live, canary=TRIAL)
    statuses = [live.predict(row).status_code for row in ROWS]
    assert statuses == [502 if row["tailnum"] == "N2" else 200 for row in ROWS]
    named, lost = expected(ROWS), expected(ROWS[2:3])[0]
    for version, role in (("1.0.0", "champion"), ("2.0.0", "canary")):
        of = f'model="tiny",role="{role}",version="{version}"'
        answered = named.count(version) - (lost == version)
        assert live.metric(f"skewless_rows_total{{{of}}}") == answered
        assert live.metric(f"skewless_request_seconds_count{{{of}}}") == answered
        assert live.metric(f"skewless_version_failures_total{{{of}}}") == (lost == version)
    assert live.metric('skewless_requests_total{model="tiny",status="502"}') == 1


def test_a_plain_model_takes_the_short_way(live: Live, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delattr(ModelRouter, "_begin_with_canary")
    assert live.score(ROW)["version"] == "1.0.0"


def test_rollouts_change_under_load_without_a_failed_request(state: Path, stored: str):
    """Promotions, canaries, shadows and pins, while requests of one and many rows come on several connections."""
    with serving(settings_of(state, stored)) as live:
        done = threading.Event()
        answers: list[tuple[int, Any]] = []

        def ask(rows: list[dict[str, Any]]) -> None:
            while not done.is_set():
                told = live.client.post(PREDICT, json={"rows": rows})
                answers.append((told.status_code, told.json()))

        askers = [threading.Thread(target=ask, args=(rows,)) for rows in (ROWS[:1], ROWS, ROWS[5:8])]
        for asker in askers:
            asker.start()
        try:
            roll_out(live, canary=TRIAL)
            roll_out(live, shadow="2.0.0", canary=None)
            roll_out(live, champion="2.0.0", shadow="1.0.0", pinned=["1.0.0"])
            roll_out(live, champion="1.0.0", shadow=None, canary={**TRIAL, "weight": 1.0})
            tiny.promote(live.settings.models, "9.9.9")
            until(lambda: part(live)["refused"])
            roll_out(live, champion="2.0.0", canary=None)
        finally:
            done.set()
            for asker in askers:
                asker.join()
    assert {status for status, _ in answers} == {200}
    assert all(len(told["scores"]) in (1, 3, 60) for _, told in answers)
