"""Models of named inputs and outputs as canary, shadow and pinned version, over HTTP, and the audit of each role."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from redis import Redis

from skewless.contract.errors import RolloutRefused
from skewless.contract.model.bundle import Bundle
from skewless.contract.rollout.rollout import (
    Canary,
    GuardrailBounds,
    RolloutStep,
    end_canary,
    pin,
    set_shadow,
    start_canary,
)
from skewless.contract.rollout.traffic_split import draw
from skewless.contract.storage.served_row import Role
from skewless.contract.timestamps import to_micros
from skewless.model.conversion.onnx_import import ImportOptions
from skewless.model.publishing import publish
from skewless.model.publishing.publish import VersionPlace
from skewless.model.publishing.rollout_steps import ChangeAuthor, make_champion, shadow, try_canary
from skewless.model.scoring import batch_score
from skewless.model.scoring.http_replay import HttpReplay, ReplayInstant, moments
from skewless.monitoring.audit import audit
from skewless.monitoring.audit.evidence import AuditEvidence
from skewless.monitoring.served_log.reader import ServedLogReader
from skewless.offline.join.point_in_time import TIMESTAMP
from skewless.online.store.online_project import OnlineProject
from skewless.online.store.store import SyncOnlineStore
from skewless.registry.bundle_folder import open_bundle
from skewless.registry.cpu_features import processor_features
from skewless.registry.model_registry import ModelRegistry
from skewless.state.database import StateDatabase
from tests.models import estimators, learnable_project
from tests.models.networks import NETWORK, as_told
from tests.services.predict_server import Live, serving, settings_of
from tests.services.waiting import until
from tests.tables.histories import instants, sources, stored

NOW = datetime(2026, 11, 1, tzinfo=UTC)
SIGNED = ChangeAuthor("a test", NOW, "to see")
NAME, VERSIONS = "classes", ("1.0.0", "1.1.0", "1.2.0")
HALF = Canary("1.1.0", 0.5, ("tailnum",))
MOMENTS, ROWS = 12, 20
FIRST = learnable_project.SPLIT.test


def crowded() -> pa.Table:
    """A spine whose rows fall on a few instants."""
    times = to_micros(FIRST) + np.repeat(np.arange(MOMENTS), ROWS) * 5 * learnable_project.HOUR_US
    return learnable_project.spine().slice(0, MOMENTS * ROWS).set_column(0, TIMESTAMP, instants(times))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three versions of one name: two pipelines that take texts, and a network that tells other things."""
    root = tmp_path_factory.mktemp("made")
    learnable_project.write_tables(root / "data")
    pq.write_table(crowded(), root / "spine.parquet")
    opened = estimators.joined(root / "set", root / "data")
    graphs = (estimators.pipeline(opened), estimators.pipeline(opened, strength=1e-4), estimators.network())
    for version, graph, asked in zip(VERSIONS, graphs, (ImportOptions(), ImportOptions(), NETWORK), strict=True):
        place = VersionPlace(root / "models", NAME, version, promote=False)
        publish.run_onnx(graph, opened, place, created_at=NOW, options=asked)
    return root


@dataclass
class World:
    """What was made, and a registry with a champion."""

    root: Path
    models: Path

    def __post_init__(self) -> None:
        (self.models / NAME).mkdir(parents=True)
        for version in VERSIONS:
            (self.models / NAME / version).symlink_to(self.root / "models" / NAME / version)
        make_champion(self.registry, NAME, "1.0.0", SIGNED)

    @property
    def registry(self) -> ModelRegistry:
        return ModelRegistry(self.models, self.models)

    def bundle(self, version: str) -> Bundle:
        return open_bundle(self.models / NAME / version, processor_features())

    def scored(self, version: str, folder: Path) -> list[ReplayInstant]:
        """What the batch tells of the spine."""
        bundle, place = self.bundle(version), self.models / NAME / version
        spine = batch_score.ScoringSpine(
            self.root / "spine.parquet", learnable_project.SPLIT.start, learnable_project.SPLIT.end
        )
        views = sources(self.root / "data", bundle.plan)
        done = batch_score.run(bundle, place, views, spine, folder, scored_at=NOW)
        return moments(pa.concat_tables([pq.read_table(folder / part) for part in done.parts]), MOMENTS * ROWS)

    @contextmanager
    def serving(self, folder: Path, redis_url: str) -> Iterator[tuple[Live, HttpReplay]]:
        plan = self.bundle("1.0.0").plan
        views = sources(self.root / "data", plan)
        settings = settings_of(folder, redis_url, models=self.models, allow_as_of=True)
        with closing(StateDatabase(f"sqlite:///{folder / 'state.db'}")) as state, Redis.from_url(redis_url) as redis:
            both = [(view, views[view.name]) for view in stored(plan)]
            player = HttpReplay(both, OnlineProject(plan.project, SyncOnlineStore(redis, plan.project), state))
            player.materialize(FIRST)
            with serving(settings) as live:
                until(lambda: live.client.get("/readyz").status_code == 200)
                yield live, player

    def change(self, live: Live, step: RolloutStep) -> None:
        """Take a step, and wait until it is in force."""
        made = self.registry.change(NAME, step, by="a test", at=NOW, reason="to see")
        until(lambda: live.samples()[f'skewless_rollout_revision{{model="{NAME}"}}'] == made.revision)


@pytest.fixture
def world(made: Path, tmp_path: Path) -> World:
    return World(made, tmp_path / "models")


def ask(live: Live, moment: ReplayInstant, address: str = NAME, **members: Any) -> dict[str, Any]:
    names = ["origin", "tailnum", "hour"]
    body = {"rows": moment.rows.select(names).to_pylist(), "as_of": moment.at.isoformat(), **members}
    answer = live.client.post(f"/v1/models/{address}/predict", json=body)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def expected(bundle: Bundle, batch: list[ReplayInstant], place: int) -> list[Any]:
    found: list[Any] = orjson.loads(orjson.dumps(as_told(bundle, batch[place].rows)))
    return found


def test_typed_versions_play_every_role_and_each_is_audited(world: World, tmp_path: Path, redis_url: str):
    bundles = [world.bundle(version) for version in VERSIONS]
    batches = [world.scored(version, tmp_path / version) for version in VERSIONS]
    drawn = draw(bundles[0].plan, NAME, HALF)
    rows, canarys = ROWS * MOMENTS // 3, 0
    with world.serving(tmp_path, redis_url) as (live, player):

        def at(*places: int) -> Iterator[tuple[ReplayInstant, list[list[Any]]]]:
            """Some moments, the store being as it was then, and what the batch tells of each version."""
            for place in range(*places):
                moment = batches[0][place]
                player.materialize(moment.at)
                yield moment, [expected(*one, place) for one in zip(bundles, batches, strict=True)]

        world.change(live, start_canary(NAME, HALF))
        for moment, (ours, theirs, _) in at(0, 4):
            columns = {name: moment.rows.column(name).to_pylist() for name in ("origin", "tailnum")}
            mine = drawn("any", columns, len(moment.rows))
            told = ask(live, moment, explain="features")
            versions = told.get("versions", [told["version"]] * len(mine))
            assert versions == ["1.1.0" if canary else "1.0.0" for canary in mine]
            assert told["scores"] == [t if canary else o for o, t, canary in zip(ours, theirs, mine, strict=True)]
            assert [row["hour"]["value"] for row in told["features"]] == moment.rows.column("hour").to_pylist()
            canarys += sum(mine)
        assert 0 < canarys < rows
        world.change(live, end_canary(NAME))
        world.change(live, set_shadow(NAME, "1.1.0"))
        sample, shadowed = f'skewless_rows_total{{model="{NAME}",role="shadow",version="1.1.0"}}', 0
        for moment, (ours, _, _) in at(4, 8):
            assert ask(live, moment)["scores"] == ours
            shadowed += ROWS
            until(lambda wanted=shadowed: live.metric(sample) == wanted)  # before the store moves on
        world.change(live, pin(NAME, "1.2.0"))
        for moment, (_, _, network) in at(8, 12):
            told = ask(live, moment, f"{NAME}@1.2.0")
            assert (told["version"], told["scores"]) == ("1.2.0", network)
            assert set(network[0]) == {"shares", "worn"}
    counted = {("1.0.0", "champion"): 2 * rows - canarys, ("1.1.0", "canary"): canarys}
    counted |= {("1.1.0", "shadow"): rows, ("1.2.0", "pinned"): rows}
    for (version, role), count in counted.items():
        assert audited(world, tmp_path, version, role) == count
    assert audited(world, tmp_path, "1.1.0", None) == rows + canarys
    assert audited(world, tmp_path, "1.1.0", "champion") == 0


def audited(world: World, folder: Path, version: str, role: Role | None) -> int:
    """How many rows were replayed without a difference."""
    bundle = world.bundle(version)
    clues = AuditEvidence(sources(world.root / "data", bundle.plan))
    found = audit.run(bundle, clues, ServedLogReader(folder / "served"), learnable_project.SPLIT.start, NOW, role=role)
    assert found.clean, str(found)
    assert str(found).startswith(f"{NAME} {version} as {role}: 0 of" if role else f"{NAME} {version}: 0 of")
    return found.rows


def test_a_typed_canary_whose_outputs_drift_is_withdrawn(world: World, tmp_path: Path, redis_url: str):
    bounds = GuardrailBounds(least_requests=40, most_errors=None, most_slow=None, most_drift=0.1, confidence=0.9)
    asked = world.scored("1.0.0", tmp_path / "one")
    with world.serving(tmp_path, redis_url) as (live, player):
        last = asked[-1].at
        player.materialize(last)
        world.change(live, start_canary(NAME, Canary("1.1.0", 0.5, ("tailnum",), bounds)))
        for _ in range(5):
            for moment in asked:
                for row in range(0, ROWS, 2):
                    ask(live, ReplayInstant(last, moment.rows.slice(row, 2)))
        until(lambda: world.registry.rollout(NAME).canary is None)
        assert {ask(live, moment)["version"] for moment in asked} == {"1.0.0"}
    told = world.registry.rollout(NAME).change
    assert told.what == "withdraw canary 1.1.0"
    assert "values of " in told.reason


def test_a_version_that_gives_other_answers_is_no_canary(world: World, tmp_path: Path, redis_url: str):
    """Who asks does not know which version answers: as a shadow it may give any answer."""
    other = Canary("1.2.0", 0.5)
    with pytest.raises(RolloutRefused, match=r"1.2.0 gives other answers than the champion 1.0.0"):
        try_canary(world.registry, NAME, other, SIGNED)
    assert shadow(world.registry, NAME, "1.2.0", SIGNED).shadow == "1.2.0"
    with world.serving(tmp_path, redis_url) as (live, _):
        world.registry.change(NAME, start_canary(NAME, other), by="a test", at=NOW, reason="unchecked")
        until(lambda: live.client.get("/readyz").json()["models"][NAME]["refused"])
        why = live.client.get("/readyz").json()["models"][NAME]["refused"]
        assert why == "canary 1.2.0: it gives other answers than the champion 1.0.0"
