from __future__ import annotations

import shutil
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from skewless.contract.rollout.rollout import restore, retire
from skewless.registry.model_registry import ModelRegistry
from tests.models import tiny
from tests.services.predict_server import ROW, Live
from tests.services.waiting import until


def version(live: Live) -> str:
    return str(live.score(ROW)["version"])


def part(live: Live) -> dict[str, object]:
    found: dict[str, object] = live.client.get("/readyz").json()["models"][tiny.NAME]
    return found


def test_a_new_champion_is_taken_up_without_a_failed_request(live: Live):
    statuses, versions = [], []
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            answer = live.predict(ROW)
            statuses.append(answer.status_code)
            versions.append(answer.json()["version"])

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        for champion in ("2.0.0", "1.0.0", "2.0.0"):
            tiny.promote(live.settings.models, champion)
            until(lambda champion=champion: versions and versions[-1] == champion)
    finally:
        done.set()
        asking.join()
    assert set(statuses) == {200}
    assert set(versions) == {"1.0.0", "2.0.0"}


def test_versions_score_differently(live: Live):
    before = live.score(ROW)["scores"]
    tiny.promote(live.settings.models, "2.0.0")
    until(lambda: version(live) == "2.0.0")
    assert live.score(ROW)["scores"] != before


@pytest.mark.parametrize("champion", ["3.0.0", "4.0.0", "../1.0.0", "", "9.9.9"])
def test_a_bad_bundle_never_replaces_a_good_one(live: Live, published: Path, champion: str):
    """3.0.0 was tampered with, 4.0.0 is 1.0.0 under another name, and the others are none."""
    folder = live.settings.models / tiny.NAME
    for copy in ("3.0.0", "4.0.0"):
        shutil.copytree(published / tiny.NAME / "1.0.0", folder / copy)
    (folder / "3.0.0" / "golden.parquet").write_bytes(b"PAR1")
    tiny.promote(live.settings.models, champion)
    until(lambda: part(live)["refused"])
    assert part(live)["ready"] is True
    assert part(live)["version"] == "1.0.0"
    assert live.client.get("/readyz").status_code == 200
    assert version(live) == "1.0.0"
    assert live.metric('skewless_champion_refusals_total{model="tiny"}') == 1
    tiny.promote(live.settings.models, "2.0.0")
    until(lambda: version(live) == "2.0.0")
    assert part(live)["refused"] is None


def test_a_champion_on_other_definitions_waits_until_the_store_agrees(live: Live):
    longer = tiny.PlanView("delays", "delays", tiny.DELAYS.join_keys, tiny.DELAYS.fields, 7, tiny.DELAYS.known_by)
    tiny.write_bundle(live.settings.models, "5.0.0", contract=tiny.plan(delays=longer))
    tiny.promote(live.settings.models, "5.0.0")
    until(lambda: part(live)["refused"])
    assert "delays: ttl was 0:00:00.000007 in training and is 3:00:00 in the store" in str(part(live)["refused"])
    assert version(live) == "1.0.0"
    tiny.write_catalog(live.settings.redis_url, tiny.plan(delays=longer))
    until(lambda: live.predict(ROW).status_code == 200 and version(live) == "5.0.0")


def test_a_mended_bundle_is_taken_up(live: Live, published: Path):
    folder = live.settings.models / tiny.NAME / "2.0.0"
    folder.unlink()
    shutil.copytree(published / tiny.NAME / "2.0.0", folder)
    plan = (folder / "plan.json").read_bytes()
    (folder / "plan.json").unlink()
    tiny.promote(live.settings.models, "2.0.0")
    until(lambda: "plan.json is missing" in str(part(live)["refused"]))
    (folder / "plan.json").write_bytes(plan)
    until(lambda: version(live) == "2.0.0")


def test_a_model_without_a_champion_goes(live: Live):
    shutil.rmtree(live.settings.models / tiny.NAME / "rollout")
    until(lambda: live.predict(ROW).status_code == 404)
    assert live.client.get("/readyz").status_code == 503


def test_a_retired_model_is_gone_and_the_others_answer(live: Live):
    """No request fails before the model is retired or after it is restored, and readiness is about the other models."""
    registry = ModelRegistry(live.settings.models, live.settings.models)
    signed = {"by": "ada", "at": datetime(2026, 1, 1, tzinfo=UTC), "reason": "nobody asks for it"}
    before = live.score(ROW)
    assert live.client.get(f"/v1/models/{tiny.NAME}").status_code == 200
    registry.change(tiny.NAME, retire(tiny.NAME, "nobody asks for it"), **signed)
    until(lambda: live.predict(ROW).status_code == 410)
    problem = live.predict(ROW)
    assert problem.headers["Content-Type"] == "application/problem+json"
    assert problem.json()["title"] == "Model retired"
    assert problem.json()["detail"] == f"model {tiny.NAME!r} is retired: nobody asks for it"
    for address in (f"/v1/models/{tiny.NAME}@1.0.0/predict", f"/v1/models/{tiny.NAME}@9.9.9/predict"):
        assert live.client.post(address, json={"rows": [ROW]}).status_code == 410
    assert live.client.get(f"/v1/models/{tiny.NAME}").status_code == 410
    (listed,) = live.client.get("/v1/models").json()["models"]
    assert (listed["ready"], listed["reason"]) == (False, "it is retired: nobody asks for it")
    ready = live.client.get("/readyz")
    assert (ready.status_code, ready.json()["models"]) == (200, {})
    assert live.metric('skewless_model_ready{model="tiny"}') == 1, "it is as it is meant to be"
    registry.change(tiny.NAME, restore(tiny.NAME), **signed)
    until(lambda: live.predict(ROW).status_code == 200)
    assert (live.score(ROW)["scores"], live.score(ROW)["version"]) == (before["scores"], before["version"])
    assert live.client.get("/readyz").json()["models"][tiny.NAME]["ready"] is True


def test_a_deleted_model_is_unknown(live: Live):
    registry = ModelRegistry(live.settings.models, live.settings.models)
    signed = {"by": "ada", "at": datetime(2026, 1, 1, tzinfo=UTC), "reason": "unused"}
    registry.change(tiny.NAME, retire(tiny.NAME, "unused"), **signed)
    until(lambda: live.predict(ROW).status_code == 410)
    registry.remove_model(tiny.NAME)
    until(lambda: live.predict(ROW).status_code == 404)
    assert live.metric('skewless_model_ready{model="tiny"}') == 1
