"""What if the online store had been refreshed that seldom: AUC and logloss of a published model, computed from history.

Nothing is served: every row of a labelled spine is joined as an online store on a schedule would have answered it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import msgspec
import numpy as np
import pyarrow as pa

from skewless.contract.model.bundle import Bundle
from skewless.contract.timestamps import UtcMicrosArray
from skewless.model.scoring.single_output import one_score
from skewless.model.training.model_metrics import ModelPerformance, measure
from skewless.model.training.training_set import labelled
from skewless.monitoring.audit.replay import Scores
from skewless.offline.join.point_in_time import join, request_values, spine_times
from skewless.offline.join.refresh_schedule import RefreshSchedule
from skewless.offline.tables.source import TableSource
from skewless.runtime.durations import short
from skewless.runtime.errors import SpineMismatch
from skewless.runtime.progress import Report, quiet


class ScheduleResult(msgspec.Struct, frozen=True):
    """The model served from a store that is refreshed `every`; `moved` is by how much scores are off in the mean."""

    every: str
    seconds: float
    performance: ModelPerformance
    moved: float


class WhatIfResult(msgspec.Struct, frozen=True):
    """`fresh` is the model on a store that holds each row from the instant at which it is known."""

    model: str
    version: str
    start: str
    end: str
    delay: str
    fresh: ModelPerformance
    refreshed: tuple[ScheduleResult, ...]

    def lines(self) -> list[str]:
        """The curve for a terminal."""
        told = [f"kept fresh: {self.fresh}"]
        return told + [f"every {one.every}: {one.performance}; scores off by {one.moved:.4f}" for one in self.refreshed]


def run(
    bundle: Bundle,
    sources: Mapping[str, TableSource],
    spine: pa.Table,
    label: str,
    window: tuple[datetime, datetime],
    schedules: Sequence[RefreshSchedule],
    *,
    report: Report = quiet,
) -> WhatIfResult:
    """Score the labelled rows of `spine` under each schedule (they share a delay), the most frequent first.

    Raises: NoSingleScore, SpineMismatch, SourceMissing, SourceMismatch.
    """
    scored = one_score(bundle)
    rows, labels = labelled(spine, label)
    if not len(rows):
        raise SpineMismatch(label, "is null in every row of the window; choose another window")
    at = spine_times(rows)

    def scores(read_at: UtcMicrosArray | None) -> Scores:
        views = join(bundle.plan, sources, rows, read_at=read_at)
        return scored(bundle.assembler.values(views, request_values(bundle.plan, rows)))

    fresh = scores(None)
    found = []
    ordered = sorted(schedules, key=lambda one: one.every)
    for number, schedule in enumerate(ordered):
        report(f"every {short(schedule.every)}", number, len(ordered))
        stale = scores(schedule.filled(at))
        moved = float(np.abs(stale.astype(float) - fresh).mean())
        seconds = schedule.every / timedelta(seconds=1)
        found.append(ScheduleResult(short(schedule.every), seconds, _measured(labels, stale), moved))
    return WhatIfResult(
        model=bundle.manifest.name,
        version=bundle.manifest.version,
        start=window[0].isoformat(),
        end=window[1].isoformat(),
        delay=short(schedules[0].delay),
        fresh=_measured(labels, fresh),
        refreshed=tuple(found),
    )


def _measured(labels: np.ndarray, scores: Scores) -> ModelPerformance:
    found = measure(labels, scores)
    assert found is not None  # noqa: S101 - there are rows
    return found
