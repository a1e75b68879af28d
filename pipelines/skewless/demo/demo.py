"""The whole story on real flights: from raw files to proven predictions over HTTP, and what skew would have cost.

Every step is the verb of the command line. The replay has an online store of its own, filled as of one instant after
the other, so that the project's store is left alone.
"""

from __future__ import annotations

import json
import shlex
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa

from skewless.contract.model.bundle import Bundle
from skewless.contract.state_folder import StateFolders
from skewless.demo import skew_price
from skewless.demo.skew_picture import draw
from skewless.demo.skew_price import SkewPrice
from skewless.model.publishing import publish
from skewless.model.publishing.publish import VersionPlace
from skewless.model.publishing.registry_upload import publishing
from skewless.model.publishing.rollout_steps import ChangeAuthor, deleted_versions, make_champion, open_published
from skewless.model.scoring.http_replay import HttpReplay, ReplayInstant, joined_rows, moments
from skewless.model.scoring.single_output import require_matrix
from skewless.model.training import train, training_set
from skewless.model.training.labels import labelled
from skewless.model.training.train import evaluate, format_metrics
from skewless.model.training.training_set import TrainingSet
from skewless.monitoring.audit import audit
from skewless.monitoring.audit.evidence import AuditEvidence
from skewless.monitoring.quality.gates import QualityGates
from skewless.monitoring.reports.audit_files import write_audit
from skewless.monitoring.served_log.reader import ServedLogReader
from skewless.offline.join.spine import SpineFiles
from skewless.online.store import embedded_valkey
from skewless.online.store.connection import connect
from skewless.online.store.online_project import OnlineProject
from skewless.online.store.store import SyncOnlineStore
from skewless.online.store.valkey_process import free_port
from skewless.project import apply
from skewless.project.ingest import ProjectIngest
from skewless.project.learner import BadLearner, LightGbm
from skewless.project.model import Model
from skewless.project.project import ProjectContext
from skewless.project.windows import TimeSplit
from skewless.runtime.console import console, step
from skewless.runtime.predict_server import RunningPredictServer, server
from skewless.runtime.progress import Report
from skewless.state.database import StateDatabase

MODEL = "flight_delay"
MIDNIGHT = timedelta(hours=5)
"""Midnight in New York, Eastern Standard Time, after midnight UTC."""


@dataclass(frozen=True, slots=True)
class DemoStory:
    """The extent of the demo: the UTC days that are ingested, how they are split, and how many predictions are replayed."""

    first: date
    last: date
    split: TimeSplit
    replayed: int

    @classmethod
    def year(cls, work: ProjectContext) -> Self:
        """All that the project declares. Raises: StartNotDeclared, ModelNotDeclared, WindowsNotDeclared."""
        (first, last), split = work.tables.days(), work.model(MODEL).split("another story", datetime.now(UTC))
        return cls(first, last, split, 2_000)


@dataclass(frozen=True, slots=True)
class DemoChecks:
    """The promises that the replay checked, and whether each held."""

    promises: tuple[tuple[str, bool], ...]

    @property
    def all_passed(self) -> bool:
        """Whether all did."""
        return all(passed for _, passed in self.promises)

    def show(self) -> None:
        """Print each of them."""
        for promise, passed in self.promises:
            console.print(f"  {'[green]held[/green]  ' if passed else '[red]BROKEN[/red]'} {promise}")


@dataclass(frozen=True, slots=True)
class PreparedDemo:
    """What the preparation leaves: the training set, the opened bundle and the open project; `spec` is the model's."""

    story: DemoStory
    work: ProjectContext
    spec: Model
    training_set: TrainingSet
    bundle: Bundle


def run(work: ProjectContext, story: DemoStory | None = None, *, stay: bool) -> bool:
    """Run the demo, by default over the year; with `stay` the server runs until Ctrl-C. Returns whether every check
    passed.
    """
    story = story or DemoStory.year(work)
    trained = _prepare(work, story)
    with _replay_store(work) as (url, player):
        played = moments(trained.training_set.between(story.split.test, story.split.end), story.replayed)
        with step("materialize") as progress:
            written = player.materialize(played[0].at, progress.at)
            progress.result = f"{written:,} rows as of {played[0].at:%Y-%m-%d %H:%M} UTC"
        folder = _scratch(work)
        settings = {
            "SKEWLESS_STATE": str(work.settings.state),
            "SKEWLESS_MODELS": str(work.settings.models),
            "SKEWLESS_REDIS_URL": url,
            "SKEWLESS_ALLOW_AS_OF": "true",
            "SKEWLESS_SERVED_LOG": str(folder / "served"),
            "SKEWLESS_SERVED_LOG_FLUSH_S": "0.5",
        }
        with server(settings, free_port(), folder / "server.log") as running:
            checks = _replay(trained, player, running, played)
            _price(trained)
            console.print("\n[bold]Checks[/bold]")
            checks.show()
            _invite(trained, running, played[-1])
            if stay:
                _wait(running)
    return checks.all_passed


def _scratch(work: ProjectContext) -> Path:
    return work.folders.root / "demo"


def _prepare(work: ProjectContext, story: DemoStory) -> PreparedDemo:
    with step("apply") as progress:
        apply.run(work.settings.feature_repo, at=datetime.now(UTC))
        progress.result = f"definitions of {work.settings.feature_repo.name}/ are in the registry"
    with step("ingest") as progress:
        gates = QualityGates.of(work)
        run = ProjectIngest(work, datetime.now(UTC), gates.day_checks(work.folders.data))
        done = run.run(work.tables.filled(), story.first, story.last, progress.at)
        changed = sum(table.files_written + table.files_removed for table in done)
        progress.result = f"{sum(table.rows for table in done):,} rows in {len(done)} tables, {changed:,} files changed"
    for warning in gates.missing_days(done):
        console.print(f"  {warning}", markup=False)
    spec = work.model(MODEL).spec("another story")
    folder = work.folders.training / spec.service
    with step("training-set") as progress:
        definitions = work.service(spec.service)
        spine = SpineFiles(work.folders.data / spec.spine, story.split.start, story.split.end)
        training = training_set.run(definitions, spine, folder, report=progress.at, memory=work.settings.join_memory)
        progress.result = f"{training.rows:,} rows joined to {len(definitions.plan.columns)} features"
    joined = TrainingSet(folder)
    with step("train") as progress:
        report = train.run(joined, spec.label_column, story.split, spec.learner)
        progress.result = str(report)
    with step("publish") as progress:
        registry, at = work.settings.registry, datetime.now(UTC)
        with publishing(registry, work.folders.models, MODEL) as models:
            place = VersionPlace(models, MODEL, promote=False, deleted=deleted_versions(registry, MODEL))
            published = publish.run(joined, place, created_at=at)
        version = published.manifest.version
        make_champion(registry, MODEL, version, ChangeAuthor("skewless demo", at, "published"))
        bundle = open_published(registry, MODEL, version)
        what = "proven and published" if published.created else "published before, proven again"
        progress.result = f"{MODEL} {bundle.manifest.version} {what}; test {format_metrics(bundle.manifest.metrics)}"
    return PreparedDemo(story, work, spec, joined, bundle)


@contextmanager
def _replay_store(work: ProjectContext) -> Iterator[tuple[str, HttpReplay]]:
    """An empty online store and state database of the replay's own, and the player that moves them through time."""
    folder = _scratch(work)
    folders = StateFolders(folder)
    embedded_valkey.stop(folders)
    shutil.rmtree(folder, ignore_errors=True)
    with embedded_valkey.running(folders) as store:
        state = StateDatabase(f"sqlite:///{folders.state_db}")
        try:
            writer = SyncOnlineStore(connect(store.url), work.project)
            check = QualityGates.of(work).window_check(console.print)
            yield store.url, HttpReplay(work.stored(), OnlineProject(work.project, writer, state), check)
        finally:
            state.close()


def _replay(
    trained: PreparedDemo, player: HttpReplay, running: RunningPredictServer, played: list[ReplayInstant]
) -> DemoChecks:
    """Request predictions at every instant and compare them with the training set's."""
    story, bundle, offline_set = trained.story, trained.bundle, trained.training_set
    rows = joined_rows(played)
    with step("replay") as progress:
        served = player.play(running.url, MODEL, bundle.plan, played, progress.at)
        progress.result = f"{len(served):,} predictions over HTTP at {len(played)} instants, materialized up to each"
    offline = bundle.scorer.score(offline_set.matrix(rows))
    wrong = int(np.count_nonzero(served.view(np.uint32) != offline.view(np.uint32)))
    with step("audit") as progress:
        result = _audit(trained, len(served))
        progress.result = str(result)
    console.print(f"  page: {write_audit(trained.work.folders.reports, result, datetime.now(UTC))}")
    _print_metrics(trained.spec.label, rows, served, offline)
    return DemoChecks(
        (
            (
                f"{result.differing_values:,} of {result.values:,} feature values differ between served and join",
                result.clean,
            ),
            (f"{wrong} of {len(served):,} scores differ between HTTP and the training set, bit for bit", wrong == 0),
            (f"all {len(served):,} predictions are in the served log", result.rows == len(served)),
            (f"at least {story.replayed:,} predictions were compared", len(served) >= story.replayed),
        )
    )


def _print_metrics(label: str, rows: pa.Table, served: np.ndarray, offline: np.ndarray) -> None:
    _, labels = labelled(rows, label)
    known = rows.column(label).is_valid().to_numpy()
    console.print(f"  offline, these flights: {format_metrics(evaluate(labels, offline[known]))}")
    console.print(f"  served over HTTP:       {format_metrics(evaluate(labels, served[known]))}")


def _audit(trained: PreparedDemo, rows: int) -> audit.AuditResult:
    """Audit the replay once its served log is on disk: the server writes it twice a second."""
    work, plan, split = trained.work, trained.bundle.plan, trained.story.split
    log = ServedLogReader(_scratch(work) / "served")
    last = time.monotonic() + 30.0
    while (logged := log.rows(MODEL)) < rows and time.monotonic() < last:
        time.sleep(0.1)
    if logged < rows:
        console.print(f"  only {logged:,} of {rows:,} predictions reached the served log")
    return audit.run(trained.bundle, AuditEvidence(work.sources(plan)), log, split.test, split.end)


def _price(trained: PreparedDemo) -> None:
    """Measure the price of skew, or load what was measured for this model version before."""
    work, bundle = trained.work, trained.bundle
    folder = work.folders.reports / f"{MODEL}-{bundle.manifest.version}"
    with step("skew-price") as progress:
        priced = skew_price.load(folder)
        again = priced is not None
        if priced is None:
            priced = measured(work, bundle, trained.story.split, progress.at)
            skew_price.save(priced, folder)
        progress.result = "measured for this model before" if again else "measured"
    picture = draw(priced, folder / "skew-price.png")
    console.print(f"  honest, served = offline:             {format_metrics(priced.honest)}")
    console.print(f"  scheduled stamps, promised offline:   {format_metrics(priced.scheduled_offline)}")
    console.print(f"  scheduled stamps, served:             {format_metrics(priced.scheduled_served)}")
    console.print(f"  honest, store refreshed at midnight:  {format_metrics(priced.daily_refresh)}")
    console.print(f"  picture: {picture}")


def measured(work: ProjectContext, bundle: Bundle, split: TimeSplit, report: Report) -> SkewPrice:
    """The price of skew for the example's model over the windows of `split`."""
    require_matrix(bundle, "skew-price")
    spec = work.model(MODEL).spec("another story")
    if not isinstance(spec.learner, LightGbm):
        raise BadLearner("", "is a function, and the price of skew is measured with LightGBM")
    task = skew_price.PredictionTask(spec.label_column, split, spec.spine, spec.learner, MIDNIGHT)
    return skew_price.run(work, work.service(spec.service), task, bundle.scorer.score, report=report)


def _invite(trained: PreparedDemo, running: RunningPredictServer, moment: ReplayInstant) -> None:
    """Print a command to try: the features and the score of one flight as of the last instant."""
    plan = trained.bundle.plan
    names = [field.name for field in (*plan.join_keys, *plan.request)]
    row = moment.rows.select(names).slice(0, 1).to_pylist()
    body = json.dumps({"rows": row, "as_of": moment.at.isoformat(), "explain": "features"})
    console.print("\n[bold]Try it[/bold]")
    console.print(
        f"curl -s {running.url}/v1/models/{MODEL}/predict -H 'Content-Type: application/json' -d {shlex.quote(body)}",
        markup=False,
    )


def _wait(running: RunningPredictServer) -> None:
    console.print(f"\nThe server runs at {running.url} (its API: {running.url}/docs). Ctrl-C stops it.")
    try:
        running.process.wait()
    except KeyboardInterrupt:
        console.print("stopped")
