"""What-if and as-served joins are what a store on that schedule answers, and the page shows the curve."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from redis import Redis

from skewless.contract.timestamps import from_micros
from skewless.model.publishing.publish import VersionPlace
from skewless.model.publishing.publish import run as publish
from skewless.model.training import training_set
from skewless.model.training.training_set import TrainingSet, matrix_for
from skewless.monitoring.audit import what_if
from skewless.monitoring.audit.replay import spine_of
from skewless.monitoring.audit.what_if import WhatIfResult
from skewless.monitoring.reports.what_if_page import page
from skewless.offline.join.point_in_time import join, request_values, spine_times
from skewless.offline.join.refresh_schedule import RefreshSchedule
from skewless.online.store.store import SyncOnlineStore
from skewless.registry.bundle_folder import open_bundle
from skewless.registry.cpu_features import processor_features
from skewless.runtime.errors import SpineMismatch
from tests.models import learnable_project, tiny
from tests.monitoring.reports.html_page import Page
from tests.monitoring.served_project import DELAYS, HOUR, NOON, World, delays
from tests.tables.histories import sources, write
from tests.tables.served_rows import served_batch

SCHEDULES = [RefreshSchedule.parse("every=6h,delay=10m"), RefreshSchedule.parse("every=1h,delay=10m")]


@pytest.mark.parametrize("text", ["every=1h", "every=1h,delay=5m", "every=2h,delay=50m"])
def test_a_store_on_a_schedule_answers_what_the_join_says(tmp_path: Path, redis_url: str, text: str):
    schedule = RefreshSchedule.parse(text)
    folder = tiny.write_bundle(tmp_path / "models", "1.0.0")
    world = World(tmp_path, open_bundle(folder, processor_features()))
    rows = [
        delays(origin, NOON + step * HOUR / 7, NOON + step * HOUR / 7 + HOUR / 20 * (step % 4), float(step))
        for step in range(40)
        for origin in ("JFK", "LGA")
    ]
    write(world.data, DELAYS, rows)
    write(world.data, tiny.PLANES, [])
    plan, assembler = world.bundle.plan, world.bundle.assembler
    stale = 0
    with Redis.from_url(redis_url) as redis:
        store = SyncOnlineStore(redis, plan.project)
        for step in range(1, 12):
            at = NOON + step * HOUR / 2.3
            spine = spine_of(plan, pa.Table.from_batches([served_batch(plan, "t", "1", world.answer(store, "r", at))]))
            read_at = schedule.filled(spine_times(spine))
            world.materialize(redis, from_micros(int(read_at[0])))
            served = world.answer(store, "r", at).matrix
            joined = join(plan, sources(world.data, plan), spine, read_at=read_at)
            assert served.tobytes() == assembler.assemble(joined, request_values(plan, spine)).tobytes()
            fresh = assembler.assemble(join(plan, sources(world.data, plan), spine), request_values(plan, spine))
            stale += served.tobytes() != fresh.tobytes()
    assert stale > 3, "the schedule did matter"


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory):
    root = tmp_path_factory.mktemp("learned")
    learnable_project.write_tables(root / "data")
    trained = learnable_project.trained(root / "training", root / "data")
    folder = publish(trained, VersionPlace(root / "models", "learned"), created_at=NOON).folder
    return root, open_bundle(folder, processor_features())


@pytest.fixture(scope="module")
def found(published) -> WhatIfResult:
    root, bundle = published
    window = (learnable_project.SPLIT.test, learnable_project.SPLIT.end)
    places = sources(root / "data", bundle.plan)
    return what_if.run(
        bundle, places, between(learnable_project.spine(), *window), learnable_project.LABEL, window, SCHEDULES
    )


def between(spine: pa.Table, start: datetime, end: datetime) -> pa.Table:
    times = spine.column("event_timestamp").to_pylist()
    return spine.filter(pa.array([start <= time < end for time in times]))


def test_the_curve_begins_fresh_and_goes_by_frequency(found: WhatIfResult, published):
    bundle = published[1]
    assert found.fresh.auc == pytest.approx(bundle.manifest.metrics["auc"])
    assert found.fresh.logloss == pytest.approx(bundle.manifest.metrics["logloss"])
    assert [(one.every, one.seconds) for one in found.refreshed] == [("1h", 3600), ("6h", 21600)]
    assert min(one.score_shift for one in found.refreshed) > 0
    assert found.lines()[0].startswith("kept fresh: AUC 0.")
    assert found.lines()[2].startswith("every 6h: AUC 0.")


def test_the_page_shows_it(found: WhatIfResult):
    shown = Page(page(found, NOON))
    assert shown.loads == []
    for words in ("Freshness of learned 1.0.0", "each run taking 10m", "every 1h", "every 6h", "AUC, kept fresh"):
        assert words in shown.text
    one_class = msgspec.structs.replace(found, fresh=msgspec.structs.replace(found.fresh, auc=None))
    assert "one class only" in Page(page(one_class, NOON)).text


def test_a_window_without_labels_is_refused(published):
    root, bundle = published
    spine = learnable_project.spine().slice(0, 5)
    empty = spine.set_column(spine.column_names.index("late"), "late", pa.nulls(5, pa.bool_()))
    with pytest.raises(SpineMismatch, match="is null in every row of the window"):
        what_if.run(bundle, sources(root / "data", bundle.plan), empty, "late", (NOON, NOON), SCHEDULES)


def test_a_training_set_as_served_is_the_what_ifs_matrix(tmp_path: Path, published):
    root, _ = published
    definitions, schedule, spine = learnable_project.definitions(root / "data"), SCHEDULES[0], learnable_project.spine()
    training_set.run(definitions, spine, tmp_path / "lagged", as_served=schedule)
    opened = TrainingSet(tmp_path / "lagged")
    window = (learnable_project.START - timedelta(days=1), learnable_project.SPLIT.end + timedelta(days=1))
    made = opened.matrix(opened.between(*window))
    expected = matrix_for(definitions, spine, read_at=schedule.filled(spine_times(spine)))
    assert made.tobytes() == expected.tobytes()
    assert made.tobytes() != matrix_for(definitions, spine).tobytes()
    assert (tmp_path / "lagged" / training_set.AS_SERVED).read_text() == "every=6h,delay=10m"
    assert np.isfinite(made).any()
