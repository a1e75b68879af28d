from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest

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
    assert "delays: ttl_us was 7 in training and is 10800000000 in the store" in str(part(live)["refused"])
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
