"""Batch scores: the server's answers bit for bit, once, whatever the memory and whenever a run is killed."""

from __future__ import annotations

import fcntl
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from redis import Redis

from skewless.contract.plan import Field, JoinKey, ModelColumn, Plan, PlanView, StoredFeature
from skewless.contract.storage.lookup import OnlineRead
from skewless.definitions.compiler import CompiledService
from skewless.model.publishing import publish
from skewless.model.publishing.publish import VersionPlace
from skewless.model.scoring import batch_score, score_write_back
from skewless.model.scoring.batch_score import ScoringSpine, ScoringUnderWay
from skewless.model.scoring.http_replay import HttpReplay, moments, predict
from skewless.model.training import train, training_set
from skewless.offline.join.point_in_time import TIMESTAMP
from skewless.offline.tables.source import TableSource
from skewless.online.materialization import materialize
from skewless.online.store.online_project import OnlineProject
from skewless.online.store.store import SyncOnlineStore
from skewless.registry.bundle_folder import open_bundle
from skewless.registry.cpu_features import processor_features
from skewless.runtime.errors import SourceMismatch, SpineMismatch
from skewless.state.database import StateDatabase
from tests.faults.killed_calls import killer
from tests.model.scoring.risk_scores import NOW, SPLIT, opened, run
from tests.models import learnable_project, tiny
from tests.services.predict_server import serving, settings_of
from tests.tables.histories import sources, stored

RISK = PlanView(
    "risk", "risk", (JoinKey("tailnum", "tailnum", "String"),), (Field("lateness", "Float32"),), 0, "event_timestamp"
)


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    """A published model, its tables and a spine; not to be touched."""
    root = tmp_path_factory.mktemp("score")
    learnable_project.write_tables(root / "data")
    publish.run(
        learnable_project.trained(root / "set", root / "data"), VersionPlace(root / "models", "late"), created_at=NOW
    )
    pq.write_table(learnable_project.spine(), root / "spine.parquet")
    return root


def files(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.iterdir()}


def whole(folder: Path) -> pa.Table:
    return pa.concat_tables([pq.read_table(file) for file in sorted(folder.glob("*.parquet"))])


def test_scores_are_those_of_the_training_set_in_any_memory(world: Path, tmp_path: Path, monkeypatch):
    done = run(world, tmp_path / "out")
    assert (done.rows, done.parts, done.written, done.resumed) == (
        learnable_project.ROWS,
        ("scores-00000.parquet",),
        True,
        0,
    )
    table = whole(tmp_path / "out")
    ordered = learnable_project.spine().sort_by(TIMESTAMP)
    assert table.drop_columns("score").equals(ordered), "rows out are rows in"
    matrix = pq.read_table(world / "set" / "data.parquet")
    expected = opened(world).scorer.score(publish.TrainingSet(world / "set").matrix(matrix))
    assert table.column("score").to_numpy().tobytes() == expected.tobytes()
    monkeypatch.setattr(batch_score, "_ROWS_PER_CALL", 7)
    assert run(world, tmp_path / "narrow", memory=1).written
    names = {"scores-00000.parquet"}
    one, other = ({n: files(tmp_path / f)[n][1] for n in names} for f in ("out", "narrow"))
    assert one == other


def test_scores_are_what_the_server_answers(world: Path, tmp_path: Path, redis_url: str):
    run(world, tmp_path / "out")
    table = whole(tmp_path / "out")
    asked = moments(table, 60, least=1)[-40:]
    bundle, settings = opened(world), settings_of(tmp_path, redis_url, allow_as_of=True, models=world / "models")
    names = [field.name for field in (*bundle.plan.join_keys, *bundle.plan.request)]
    views = [(view, sources(world / "data", bundle.plan)[view.name]) for view in stored(bundle.plan)]
    with closing(StateDatabase(f"sqlite:///{tmp_path / 'state.db'}")) as state, Redis.from_url(redis_url) as redis:
        player = HttpReplay(
            views, OnlineProject(bundle.plan.project, SyncOnlineStore(redis, bundle.plan.project), state)
        )
        player.materialize(asked[0].at)
        with serving(settings) as live:
            for moment in asked:
                player.materialize(moment.at)
                body = {"rows": moment.rows.select(names).to_pylist(), "as_of": moment.at.isoformat()}
                served = np.array(predict(live.client, "late", body), np.float32)
                assert served.tobytes() == moment.rows.column("score").to_numpy().tobytes()


def test_a_second_run_changes_nothing(world: Path, tmp_path: Path):
    first = run(world, tmp_path / "out")
    before = files(tmp_path / "out")
    again = run(world, tmp_path / "out", at=NOW + timedelta(days=1))
    assert (again.written, again.scored_at) == (False, first.scored_at)
    assert files(tmp_path / "out") == before
    assert sorted(path.name for path in tmp_path.iterdir()) == [".out-lock", "out"]


def test_an_empty_spine_is_scored_too(world: Path, tmp_path: Path):
    pq.write_table(learnable_project.spine().slice(0, 0), tmp_path / "spine.parquet")
    done = run(world, tmp_path / "out", spine=tmp_path / "spine.parquet")
    assert done.rows == 0
    assert whole(tmp_path / "out").column_names == [*learnable_project.spine().column_names, "score"]


def test_a_run_that_is_killed_goes_on(world: Path, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(batch_score, "_ROWS_PER_PART", 1_000)
    assert run(world, tmp_path / "whole").parts == tuple(f"scores-{n:05d}.parquet" for n in range(5))
    expected = [(name, content) for name, (_, content) in files(tmp_path / "whole").items() if name[0] != "_"]
    with killer("tests.model.scoring.risk_scores", "killable") as killed:
        for step in range(1, 60, 6):
            folder = tmp_path / f"killed-{step}"
            if not killed(step, str(world), str(folder)):
                break
            parts = sorted(folder.with_name(f".killed-{step}-unfinished").glob("scores-*.parquet"))
            before = {file.name: file.read_bytes() for file in parts}
            done = run(world, folder, at=NOW + timedelta(days=1))
            assert done.resumed == len(before) or not done.written
            found = [(name, content) for name, (_, content) in files(folder).items() if name[0] != "_"]
            assert sorted(found) == sorted(expected)
            assert not list(tmp_path.glob(f".killed-{step}-[ou]*")), "nothing is left of the killed run"
        else:
            pytest.fail("it has more file operations than were tried")
    assert step > 8


def test_what_is_left_of_another_run_is_not_gone_on_with(world: Path, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(batch_score, "_ROWS_PER_PART", 1_000)
    other = tmp_path / "spine.parquet"
    pq.write_table(learnable_project.spine().slice(0, 2_500), other)

    def crash(*_) -> None:
        raise MemoryError

    with monkeypatch.context() as broken:
        broken.setattr(batch_score, "_replace", crash)
        with pytest.raises(MemoryError):
            run(world, tmp_path / "out", spine=other)
    assert len(list((tmp_path / ".out-unfinished").glob("scores-*"))) == 3
    pq.write_table(learnable_project.spine().slice(0, 1_500), other)
    assert run(world, tmp_path / "out", spine=other).resumed == 0
    assert len(whole(tmp_path / "out")) == 1_500


def test_a_spine_that_does_not_fit_leaves_the_scores_as_they_were(world: Path, tmp_path: Path):
    run(world, tmp_path / "out")
    before = files(tmp_path / "out")
    bad = tmp_path / "spine.parquet"
    pq.write_table(learnable_project.spine().append_column("score", pa.array(range(learnable_project.ROWS))), bad)
    with pytest.raises(SpineMismatch, match="'score' has the name of a model output that is written"):
        run(world, tmp_path / "out", spine=bad)
    pq.write_table(learnable_project.spine().drop_columns("hour"), bad)
    with pytest.raises(SpineMismatch, match="'hour' is absent"):
        run(world, tmp_path / "out", spine=bad)
    assert files(tmp_path / "out") == before


def test_two_runs_do_not_write_one_folder(world: Path, tmp_path: Path):
    with (tmp_path / ".out-lock").open("wb") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        with pytest.raises(ScoringUnderWay, match="another run writes the scores"):
            run(world, tmp_path / "out")
    assert run(world, tmp_path / "out").written


def table(root: Path, created: str | None = "created_timestamp") -> TableSource:
    return TableSource("risk", root / "risk", TIMESTAMP, created)


def test_scores_are_written_back_once_and_go_online(world: Path, tmp_path: Path, redis_url: str):
    done = run(world, tmp_path / "out")
    written = score_write_back.run(done, tmp_path / "out", RISK, table(tmp_path))
    assert written.rows == learnable_project.ROWS
    before = files(tmp_path / "risk")
    assert (
        score_write_back.run(run(world, tmp_path / "out"), tmp_path / "out", RISK, table(tmp_path)).files
        == written.files
    )
    assert files(tmp_path / "risk") == before
    held = pq.read_table(tmp_path / "risk")
    assert set(held.column("created_timestamp").to_pylist()) == {NOW}
    assert held.select([TIMESTAMP, "tailnum"]).equals(whole(tmp_path / "out").select([TIMESTAMP, "tailnum"]))
    assert held.column("lateness").equals(whole(tmp_path / "out").column("score"))
    plan = Plan("second", "tests", (RISK,), (), (), (ModelColumn("risk__lateness", StoredFeature("risk", "lateness")),))
    with closing(StateDatabase(f"sqlite:///{tmp_path / 'state.db'}")) as state, Redis.from_url(redis_url) as redis:
        store, views = SyncOnlineStore(redis, "tests"), [(RISK, table(tmp_path))]
        windows = materialize.plan_windows(state, "tests", views, end=NOW)
        materialize.run(windows, OnlineProject("tests", store, state), clock=lambda: NOW)
        reader = OnlineRead(plan, {"risk": RISK.fields})
        last = dict(zip(*(held.sort_by(TIMESTAMP).column(n).to_pylist() for n in ("tailnum", "lateness")), strict=True))
        tails = sorted(last)
        batch = reader.batch({"tailnum": tails}, len(tails))
        found = reader.decode(batch, store.read(batch.lookups), int(NOW.timestamp() * 1e6))["risk"]
    assert len(tails) > 200
    distinct = len(held) - len(held.group_by([TIMESTAMP, "tailnum"]).aggregate([]))
    differing = np.count_nonzero(found.rows.columns[0].data != np.array([last[one] for one in tails], np.float32))
    assert differing <= distinct, "only of two rows of one aircraft and instant the greater one may win"


def test_a_model_reads_scores_that_were_computed_ahead_beside_fresh_features(
    world: Path, tmp_path: Path, redis_url: str
):
    """The hybrid: batch scores of one model are a feature of the next, in training, in batch and over HTTP."""
    done = run(world, tmp_path / "out")
    score_write_back.run(done, tmp_path / "out", RISK, table(tmp_path), created=SPLIT.start)
    first = tiny.plan()
    columns = (*first.columns, ModelColumn("risk__lateness", StoredFeature("risk", "lateness")))
    plan = msgspec.structs.replace(first, name="hybrid", views=(*first.views, RISK), columns=columns)
    views = {**sources(world / "data", first), "risk": table(tmp_path)}
    training_set.run(CompiledService(plan, tiny.trace(), views), learnable_project.spine(), tmp_path / "set")
    opened_set = training_set.TrainingSet(tmp_path / "set")
    train.run(opened_set, learnable_project.LABEL_COLUMN, SPLIT, learnable_project.learner(20))
    published = publish.run(opened_set, VersionPlace(tmp_path / "models", "hybrid"), created_at=NOW)
    bundle = open_bundle(published.folder, processor_features())
    spine = ScoringSpine(world / "spine.parquet", SPLIT.start, SPLIT.end)
    batch_score.run(bundle, published.folder, views, spine, tmp_path / "scored", scored_at=NOW)
    scored = whole(tmp_path / "scored")
    matrix = opened_set.matrix(pq.read_table(tmp_path / "set" / "data.parquet"))
    assert scored.column("score").to_numpy().tobytes() == bundle.scorer.score(matrix).tobytes()
    assert np.isfinite(matrix[:, -1]).all(), "each row has at least its own score"
    asked = moments(scored, 30, least=1)[-20:]
    settings = settings_of(tmp_path, redis_url, allow_as_of=True)
    with closing(StateDatabase(f"sqlite:///{tmp_path / 'state.db'}")) as state, Redis.from_url(redis_url) as redis:
        both = [(view, views[view.name]) for view in stored(plan)]
        player = HttpReplay(both, OnlineProject(plan.project, SyncOnlineStore(redis, plan.project), state))
        player.materialize(asked[0].at)
        with serving(settings) as live:
            for moment in asked:
                player.materialize(moment.at)
                rows = moment.rows.select(["origin", "tailnum", "hour"]).to_pylist()
                body = {"rows": rows, "as_of": moment.at.isoformat()}
                served = np.array(predict(live.client, "hybrid", body), np.float32)
                assert served.tobytes() == moment.rows.column("score").to_numpy().tobytes()
            told = live.client.post("/v1/models/hybrid/predict", json={**body, "explain": "features"}).json()
    (lateness,) = [row["risk__lateness"] for row in told["features"][:1]]
    assert lateness["status"] == "PRESENT"
    assert {"delays__mean", "planes__age", "hour", "rush__swell"} < told["features"][0].keys()


def test_when_scores_are_known_may_be_said(world: Path, tmp_path: Path):
    done = run(world, tmp_path / "out")
    score_write_back.run(done, tmp_path / "out", RISK, table(tmp_path), created=SPLIT.start)
    assert set(pq.read_table(tmp_path / "risk").column("created_timestamp").to_pylist()) == {SPLIT.start}
    score_write_back.run(done, tmp_path / "out", RISK, table(tmp_path / "bare", None))
    assert pq.read_table(tmp_path / "bare" / "risk").column_names == ["tailnum", "lateness", TIMESTAMP]


def test_a_view_that_the_scores_do_not_fill_is_refused(world: Path, tmp_path: Path):
    done = run(world, tmp_path / "out")
    two = msgspec.structs.replace(RISK, fields=(*RISK.fields, Field("upside", "Float32")))
    with pytest.raises(SourceMismatch, match="'lateness, upside' of its source is not among the scored rows' columns"):
        score_write_back.run(done, tmp_path / "out", two, table(tmp_path))
    none = msgspec.structs.replace(RISK, fields=(Field("hour", "Int64"),))
    with pytest.raises(SourceMismatch, match="'score'"):
        score_write_back.run(done, tmp_path / "out", none, table(tmp_path))
    assert not (tmp_path / "risk").exists()
