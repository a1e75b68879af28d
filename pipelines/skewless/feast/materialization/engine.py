"""Feast's compute engine: `feast materialize` and `materialize-incremental` run `skewless.online.materialization.materialize`.

Feast's window [start, end] selects the rows that *arrived* in it, both ends included; Feast's own engines select by
event time. A row arrives when its view's admission rule first admits it, or when it was created if that is later. So
late rows and corrections are included, and rows that are not known by `end`, or yet, are left to a later window. A view's
watermark moves to `end` only where the window leaves no gap behind it; `skewless materialize` then starts there. A
view of which the store has nothing is filled from the beginning where Feast asks for what came since its last run. With
`--disable-event-timestamp` the window is all of the time until now; the rows keep their event times, as in Feast.

Held by tests/feast/test_online_store.py.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pydantic import StrictStr

from feast import FeatureStore
from feast.infra.common.materialization_job import MaterializationJobStatus, MaterializationTask
from feast.infra.compute_engines.base import ComputeEngine
from feast.infra.compute_engines.local.job import LocalMaterializationJob
from feast.infra.registry.base_registry import BaseRegistry
from feast.repo_config import FeastConfigBaseModel
from skewless.contract.timestamps import EPOCH, MICROSECOND, aware
from skewless.definitions.compiler import source_of, view_of
from skewless.definitions.data_folder import data_folder, settings_of
from skewless.feast.errors import FeastUnsupported
from skewless.feast.materialization.stored_outputs import materialize_by_feast
from skewless.feast.online_store import online_writer
from skewless.feast.stored_definitions import retained_beside, stored_names
from skewless.online.materialization.materialize import plan_windows, run
from skewless.online.store.online_project import OnlineProject
from skewless.state.database import StateDatabase
from skewless.state.run_history import RunCounts


class SkewlessEngineConfig(FeastConfigBaseModel):
    """`batch_engine:` in feature_store.yaml."""

    type: StrictStr = "skewless.feast.SkewlessEngine"


def _now() -> datetime:
    return datetime.now(UTC)


def _window(task: MaterializationTask) -> tuple[datetime | None, datetime]:
    """What to materialize, (start, end]; a start of None is the view's watermark."""
    if task.disable_event_timestamp:
        return EPOCH - MICROSECOND, _now()
    return None if _incremental(task) else aware(task.start_time) - MICROSECOND, aware(task.end_time)


def _incremental(task: MaterializationTask) -> bool:
    """Whether the window begins where Feast's last one ended: then it begins at our watermark. The rows before Feast's are in
    the store of then, which may have been another one; and its end may have been in the future.
    """
    last = getattr(task.feature_view, "most_recent_end_time", None)
    return last is not None and aware(last) == aware(task.start_time)


class SkewlessEngine(ComputeEngine):
    """Materializes one view after the other, each with its definitions that live models still read."""

    def __init__(self, *, type: str = "", **dependencies: Any) -> None:  # noqa: A002, ANN401, ARG002 - Feast passes its config
        super().__init__(**dependencies)

    def update(self, *_: object, **__: object) -> None:
        """Does nothing: the online store removes the watermarks and rows of deleted views."""

    def teardown_infra(self, *_: object, **__: object) -> None:
        """Does nothing, as `update`."""

    def _materialize_one(
        self,
        registry: BaseRegistry,  # noqa: ARG002 - Feast's signature
        task: MaterializationTask,
        **_options: object,
    ) -> LocalMaterializationJob:
        """Raises: FeastUnsupported, InvalidPlan, SourceMissing, SourceMismatch, RedisUnreachable, StateUnreachable."""
        if not task.feature_view.online:
            raise FeastUnsupported("materializing to the offline store", "set online=True, or leave the view out")
        counts = self._run(task)
        if task.tqdm_builder is not None:
            with task.tqdm_builder(counts.read) as bar:
                bar.update(counts.read)
        name = task.feature_view.name
        return LocalMaterializationJob(f"{name}-{task.start_time}-{task.end_time}", MaterializationJobStatus.SUCCEEDED)

    def materialize_outputs(self, store: FeatureStore, view: str, start: datetime, end: datetime) -> None:
        """Compute and store the outputs of an on-demand view, as `skewless materialize` does, in Feast's window [start, end].

        Raises: FeastUnsupported, and as `stored_outputs.materialize_outputs`.
        """
        materialize_by_feast(store, online_writer(self.repo_config), view, start, end)

    def _run(self, task: MaterializationTask) -> RunCounts:
        config, definition = self.repo_config, task.feature_view
        names = stored_names(config)
        view = names.of(view_of(config, definition, definition.projection))
        views = [(view, source_of(definition, data_folder(config))), *retained_beside(config, names, view)]
        start, end = _window(task)
        state = StateDatabase(settings_of(config).state_url)
        try:
            writer = online_writer(config)
            stored = writer.stored_views([known for known, _ in views])
            windows = plan_windows(state, task.project, views, end=end, start=start, stored=stored)
            counts = run(windows, OnlineProject(task.project, writer, state), clock=_now)
        finally:
            state.close()
        return counts.get(view.stored_as, RunCounts())
