"""Rollouts of a registry in an S3 server, and of a server that has several workers."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from skewless.contract.errors import RegistryUnreadable
from skewless.contract.rollout.rollout import Canary, GuardrailBounds, promote, start_canary
from skewless.registry.model_registry import ModelRegistry
from tests.models import tiny
from tests.services.predict_server import PREDICT, ROW, serving, settings_of
from tests.services.s3 import BUCKET, S3, s3, s3_server
from tests.services.serve_process import served
from tests.services.waiting import until

__all__ = ["s3", "s3_server"]
NOW = datetime(2013, 10, 1, 12, tzinfo=UTC)
ROWS = [{"origin": "JFK", "tailnum": f"N{number}", "hour": 8} for number in range(40)]
SIGNED: dict[str, Any] = {"by": "ada", "at": NOW, "reason": "to see"}


def test_a_server_takes_up_rollouts_of_an_object_store(s3: S3, stored: str, published: Path, tmp_path: Path):
    address = f"s3://{BUCKET}/models?endpoint_override={s3.endpoint}"
    with serving(settings_of(tmp_path, stored, models=address)) as live:
        assert live.predict(ROW).status_code == 404
        registry = ModelRegistry(address, tmp_path / "other")
        for version in ("1.0.0", "2.0.0"):
            registry.add(tiny.NAME, version, published / tiny.NAME / version)
        registry.change(tiny.NAME, promote("1.0.0"), **SIGNED)
        until(lambda: live.predict(ROW).status_code == 200)
        registry.change(tiny.NAME, promote("2.0.0"), **SIGNED)
        until(lambda: live.score(ROW)["version"] == "2.0.0")


def test_an_object_store_that_goes_away_stops_nobody(
    s3: S3, stored: str, published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    address = f"s3://{BUCKET}/models?endpoint_override={s3.endpoint}"
    registry = ModelRegistry(address, tmp_path / "other")
    registry.add(tiny.NAME, "1.0.0", published / tiny.NAME / "1.0.0")
    registry.change(tiny.NAME, promote("1.0.0"), **SIGNED)
    with serving(settings_of(tmp_path, stored, models=address)) as live:
        assert live.score(ROW)["version"] == "1.0.0"
        failing = [0]

        def away(*given: object) -> None:
            failing[0] += 1
            raise RegistryUnreadable(address, "it is away")

        with monkeypatch.context() as patched:
            patched.setattr(ModelRegistry, "_entries", away)
            until(lambda: failing[0] > 2)
            assert live.score(ROW)["version"] == "1.0.0"
            assert live.client.get("/readyz").status_code == 200
        registry.add(tiny.NAME, "2.0.0", published / tiny.NAME / "2.0.0")
        registry.change(tiny.NAME, promote("2.0.0"), **SIGNED)
        until(lambda: live.score(ROW)["version"] == "2.0.0")


def test_workers_take_up_a_rollout_under_load_and_withdraw_a_canary_once(state: Path, stored: str):
    registry = ModelRegistry(state / "models", state)
    with served(state, stored, "--workers", "2") as (_, client):
        done, answers = threading.Event(), []

        def ask() -> None:
            while not done.is_set():
                # A connection of its own each time reaches every worker.
                told = httpx.post(f"{client.base_url}{PREDICT}", json={"rows": ROWS}, timeout=10)
                answers.append((told.status_code, tuple(told.json().get("versions", [told.json()["version"]]))))

        askers = [threading.Thread(target=ask) for _ in range(2)]
        for asker in askers:
            asker.start()
        try:
            bounds = GuardrailBounds(
                least_requests=60, most_errors=None, most_slow=None, most_drift=0.2, confidence=0.95
            )
            canary = Canary("2.0.0", 0.5, ("tailnum",), bounds)
            registry.change(tiny.NAME, start_canary(tiny.NAME, canary), **SIGNED)
            until(lambda: any("2.0.0" in versions for _, versions in answers))
            until(lambda: registry.rollout(tiny.NAME).canary is None)
            registry.change(tiny.NAME, promote("2.0.0"), **SIGNED)
            until(lambda: len(answers) > 50 and set(answers[-50:]) == {(200, ("2.0.0",))})
        finally:
            done.set()
            for asker in askers:
                asker.join()
    assert {status for status, _ in answers} == {200}
    history = [one.change.what for one in registry.history(tiny.NAME)]
    assert history == ["anything", "canary 2.0.0 with weight 0.5", "withdraw canary 2.0.0", "promote 2.0.0"]
