"""The whole story, once, on real parts: February's flights, Valkey, uvicorn. Start reading here.

Every step is a verb of the command line, as README.md shows it. What each verb must do beyond this story is in the
test file that mirrors its module.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import httpx
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from skewless.cli import app
from skewless.contract.model.bundle import Bundle
from skewless.contract.state_folder import StateFolders
from skewless.model.publishing.versions import versions
from skewless.model.scoring.http_replay import ReplayInstant, moments
from skewless.model.training.train import load_model
from skewless.model.training.training_set import TrainingSet
from skewless.online.store import embedded_valkey
from skewless.online.store.valkey_process import free_port
from skewless.registry.bundle_folder import open_bundle
from skewless.registry.cpu_features import processor_features
from skewless.runtime.predict_server import RunningPredictServer, server
from skewless.runtime.settings import ProjectSettings
from tests.checkout import FEATURE_REPO
from tests.tables.flights import FLIGHTS, MODEL

REPO = FEATURE_REPO
TRAIN, VALIDATE, TEST, END = "2013-02-01", "2013-02-20", "2013-02-25", "2013-03-01"
SPLIT = ["--start", TRAIN, "--validate", VALIDATE, "--test", TEST, "--end", END]
VERSION = "1.0.0"


@dataclass(frozen=True)
class Project:
    """A project in a folder of its own, and the command line in it."""

    folders: StateFolders

    def skewless(self, *words: str) -> Result:
        done = CliRunner().invoke(app, list(words), catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done

    def bundle(self) -> Bundle:
        return open_bundle(self.folders.models / MODEL / VERSION, processor_features())

    def training_set(self) -> TrainingSet:
        return TrainingSet(self.folders.training / FLIGHTS.service)

    def moments(self) -> list[ReplayInstant]:
        """Instants of the test days at which several flights are decided."""
        table = self.training_set().between(datetime.fromisoformat(TEST + "T00:00Z"), datetime(2013, 3, 1, tzinfo=UTC))
        return moments(table, 100, least=5)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A data scientist defines, ingests, joins, trains and publishes."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SKEWLESS_STATE", str(tmp_path_factory.mktemp("state")))
        environment.setenv("SKEWLESS_FEATURE_REPO", str(REPO))
        project = Project(ProjectSettings.read().folders)
        project.skewless("apply")
        project.skewless("ingest", "--start", "2013-01-25", "--end", "2013-03-02")
        project.skewless("training-set", "--start", TRAIN, "--end", END)
        project.skewless("train", *SPLIT)
        project.skewless("publish")
        yield project
        embedded_valkey.stop(project.folders)


@pytest.fixture(scope="module")
def running(project: Project) -> Iterator[RunningPredictServer]:
    """Somebody who runs Airflow materializes up to the first instant, and the server starts."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SKEWLESS_STATE", str(project.folders.root))
        environment.setenv("SKEWLESS_FEATURE_REPO", str(REPO))
        project.skewless("materialize", "--end", project.moments()[0].at.isoformat())
    settings = {
        "SKEWLESS_STATE": str(project.folders.root),
        "SKEWLESS_ALLOW_AS_OF": "true",
        "SKEWLESS_SERVED_LOG_FLUSH_S": "0.2",
    }
    with server(settings, free_port(), project.folders.root / "server.log") as running:
        yield running


@pytest.fixture(autouse=True)
def _in_the_project(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKEWLESS_STATE", str(project.folders.root))
    monkeypatch.setenv("SKEWLESS_FEATURE_REPO", str(REPO))


def ask(project: Project, running: RunningPredictServer, moment: ReplayInstant, **more: object) -> httpx.Response:
    """Ask for the flights of one instant, as of it."""
    names = [field.name for field in (*project.bundle().plan.join_keys, *project.bundle().plan.request)]
    body = {"rows": moment.rows.select(names).to_pylist(), "as_of": moment.at.isoformat(), **more}
    return httpx.post(f"{running.url}/v1/models/{MODEL}/predict", json=body, timeout=120)


def test_ingesting_again_changes_nothing(project: Project) -> None:
    before = {file: file.stat().st_mtime_ns for file in project.folders.data.rglob("*.parquet")}
    told = project.skewless("ingest", "--start", "2013-01-25", "--end", "2013-03-02").output
    assert "0 files changed" in told
    assert before == {file: file.stat().st_mtime_ns for file in project.folders.data.rglob("*.parquet")}


def test_the_training_set_has_every_flight_once_and_in_order(project: Project) -> None:
    training_set = project.training_set()
    table = training_set.between(datetime(2013, 2, 1, tzinfo=UTC), datetime(2013, 3, 1, tzinfo=UTC))
    times = table.column("event_timestamp").to_numpy()
    assert len(table) > 24_000
    assert (times[1:] >= times[:-1]).all()
    assert "turnaround__hours_since_arrival" in table.column_names


def test_the_model_learned_something(project: Project) -> None:
    metrics = project.bundle().manifest.metrics
    assert metrics["auc"] > 0.65
    assert metrics["logloss"] < metrics["constant_logloss"]


def test_publishing_the_same_again_makes_nothing_new(project: Project) -> None:
    assert "unchanged" in project.skewless("publish").output
    assert versions(project.folders.models / MODEL) == [VERSION]


def test_served_scores_are_the_offline_scores_at_every_instant(project: Project, running: RunningPredictServer) -> None:
    bundle, training_set = project.bundle(), project.training_set()
    asked = 0
    for moment in project.moments():
        project.skewless("materialize", "--end", moment.at.isoformat())
        served = np.array(ask(project, running, moment).raise_for_status().json()["scores"], np.float32)
        offline = bundle.scorer.score(training_set.matrix(moment.rows))
        assert served.tobytes() == offline.tobytes(), moment.at
        asked += len(served)
    assert asked >= 100


def test_an_answer_explains_itself(project: Project, running: RunningPredictServer) -> None:
    moment = project.moments()[-1]
    project.skewless("materialize", "--end", moment.at.isoformat())
    answer = ask(project, running, moment, explain="features").raise_for_status().json()
    assert answer["version"] == VERSION
    delay = answer["features"][0]["origin_departures__dep_delay_mean_1h"]
    assert delay["status"] in {"PRESENT", "NULL"}
    assert delay["age_seconds"] >= 0
    assert datetime.fromisoformat(delay["event_timestamp"]) <= moment.at


def test_an_answer_tells_what_moved_the_score(project: Project, running: RunningPredictServer) -> None:
    moment = project.moments()[-1]
    project.skewless("materialize", "--end", moment.at.isoformat())
    answer = ask(project, running, moment, explain="contributions").raise_for_status().json()
    booster, _ = load_model(project.training_set().folder)
    own = np.asarray(booster.predict(project.training_set().matrix(moment.rows), pred_contrib=True))
    for told, expected in zip(answer["contributions"], own, strict=True):
        assert list(told["features"]) == list(project.bundle().assembler.names)
        assert list(told["features"].values()) == pytest.approx(expected[:-1], abs=1e-6), "ONNX's leaves are float32"
        assert told["base"] + sum(told["features"].values()) == pytest.approx(told["raw"], abs=1e-12)


def test_an_unknown_aircraft_is_no_error(project: Project, running: RunningPredictServer) -> None:
    moment = project.moments()[-1]
    names = [field.name for field in (*project.bundle().plan.join_keys, *project.bundle().plan.request)]
    row = moment.rows.select(names).slice(0, 1).to_pylist()[0] | {"tailnum": "N0BODY"}
    body = {"rows": [row], "as_of": moment.at.isoformat(), "explain": "features"}
    answer = httpx.post(f"{running.url}/v1/models/{MODEL}/predict", json=body).raise_for_status().json()
    seats = answer["features"][0]["aircraft_static__seats"]
    assert seats["status"] == "NOT_FOUND"
    assert seats["value"] is None


def test_bad_input_is_told_what_is_wrong(running: RunningPredictServer) -> None:
    answer = httpx.post(f"{running.url}/v1/models/{MODEL}/predict", json={"rows": [{"origin": 7}]})
    assert answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY
    assert answer.headers["content-type"] == "application/problem+json"
    assert "/rows/0/origin" in {error["pointer"] for error in answer.json()["errors"]}


def test_the_audit_finds_nothing_to_say(project: Project, running: RunningPredictServer) -> None:
    ask(project, running, project.moments()[-1]).raise_for_status()
    told = project.skewless("audit", "--from", TEST, "--to", END).output
    assert "0 of" in told
    assert "feature values differ" in told
