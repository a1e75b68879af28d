"""A small model of the real flights of one day, what a real server predicted with it on that day, and what the verbs say
of both when they are run by hand.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from skewless.contract.model.bundle import Bundle
from skewless.model.publishing import publish
from skewless.model.publishing.publish import VersionPlace
from skewless.model.scoring import batch_score
from skewless.model.scoring.http_replay import HttpReplay, joined_rows, moments
from skewless.model.training import train, training_set
from skewless.model.training.training_set import TrainingSet
from skewless.monitoring.audit import audit
from skewless.monitoring.audit.audit import AuditResult
from skewless.monitoring.audit.evidence import AuditEvidence
from skewless.monitoring.served_log.reader import ServedLogReader
from skewless.offline.join.spine import SpineFiles
from skewless.online.store.connection import connect
from skewless.online.store.online_project import OnlineProject
from skewless.online.store.store import SyncOnlineStore
from skewless.online.store.valkey_process import free_port
from skewless.project.model import LabelColumn
from skewless.project.project import ProjectContext
from skewless.project.windows import TimeSplit
from skewless.registry.bundle_folder import open_bundle
from skewless.registry.cpu_features import processor_features
from skewless.runtime.predict_server import server
from skewless.state.database import StateDatabase
from tests.models.learnable_project import learner
from tests.tables.flights import FLIGHTS, MODEL

DAY = datetime(2013, 2, 5, tzinfo=UTC)
SPLIT = TimeSplit(DAY, DAY + timedelta(hours=17), DAY + timedelta(hours=20), DAY + timedelta(days=1))
ASKED = 60
"""Flights at least, at several instants of the day."""


@dataclass(frozen=True, slots=True)
class Predicted:
    """The day's scores, by file, and the audit of what was served."""

    scores: dict[str, bytes]
    audited: AuditResult


def by_hand(work: ProjectContext, redis_url: str) -> Predicted:
    """Train and publish into the project's models, serve into its log from an online store of the replay's own."""
    bundle = _champion(work)
    served = _serve(work, bundle, redis_url)
    sources = work.sources(bundle.plan)
    found = audit.run(bundle, AuditEvidence(sources), ServedLogReader(work.folders.served), SPLIT.start, SPLIT.end)
    assert (found.clean, found.rows) == (True, served)
    folder = work.folders.scores / "by hand"
    spine = batch_score.ScoringSpine(work.folders.data / FLIGHTS.spine, SPLIT.start, SPLIT.end)
    place = work.settings.registry.bundle(MODEL, bundle.manifest.version)
    batch_score.run(bundle, place, sources, spine, folder, scored_at=DAY)
    return Predicted(scored(folder), found)


def scored(folder: Path) -> dict[str, bytes]:
    """Every file of scores."""
    return {file.name: file.read_bytes() for file in sorted(folder.glob("*.parquet"))}


def _champion(work: ProjectContext) -> Bundle:
    folder = work.folders.training / "small"
    spine = SpineFiles(work.folders.data / FLIGHTS.spine, SPLIT.start, SPLIT.end)
    training_set.run(work.service("small"), spine, folder)
    made = TrainingSet(folder)
    train.run(made, LabelColumn(FLIGHTS.label), SPLIT, learner(5))
    return open_bundle(
        publish.run(made, VersionPlace(work.folders.models, MODEL), created_at=DAY).folder, processor_features()
    )


def _serve(work: ProjectContext, bundle: Bundle, redis_url: str) -> int:
    """Predictions over HTTP, each as of an instant up to which the online store was materialized; how many."""
    root = work.folders.root
    played = moments(TrainingSet(work.folders.training / "small").between(SPLIT.start, SPLIT.end), ASKED, least=4)
    settings = {"SKEWLESS_REDIS_URL": redis_url, "SKEWLESS_ALLOW_AS_OF": "true"}
    with closing(StateDatabase(f"sqlite:///{root / 'replay.db'}")) as state, connect(redis_url) as client:
        player = HttpReplay(work.stored(), OnlineProject(work.project, SyncOnlineStore(client, work.project), state))
        player.materialize(played[0].at)
        with server(settings, free_port(), root / "server.log") as running:
            told = player.play(running.url, MODEL, bundle.plan, played)
    assert len(told) == len(joined_rows(played)) >= ASKED
    return len(told)
