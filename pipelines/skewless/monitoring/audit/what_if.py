"""What-if on freshness: AUC and logloss of a published model, had the online store been refreshed on another schedule.

It is computed from history and serves nothing: every row of a labelled spine is joined as an online store on that schedule
would have answered it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import msgspec
import numpy as np
import pyarrow as pa

from skewless.contract.model.bundle import Bundle
from skewless.contract.timestamp_arrays import UtcMicrosArray
from skewless.model.scoring.single_output import single_score
from skewless.model.training.labels import labelled
from skewless.model.training.model_metrics import ModelPerformance, measure
from skewless.monitoring.audit.replay import Scores
from skewless.offline.join.point_in_time import join, request_values, spine_times
from skewless.offline.join.refresh_schedule import RefreshSchedule
from skewless.offline.tables.source import TableSource
from skewless.runtime.durations import short
from skewless.runtime.errors import SpineMismatch
from skewless.runtime.progress import Report, quiet


class ScheduleResult(msgspec.Struct, frozen=True):
    """The model served from a store that is refreshed `every`; `score_shift` is the mean distance of its scores from those
    of a fresh store.
    """

    every: str
    seconds: float
    performance: ModelPerformance
    score_shift: float = msgspec.field(name="moved")


class WhatIfResult(msgspec.Struct, frozen=True):
    """`fresh` is the model on a store that has each row from its created time on; `refreshed` are the schedules."""

    model: str
    version: str
    start: str
    end: str
    delay: str
    fresh: ModelPerformance
    refreshed: tuple[ScheduleResult, ...]

    def lines(self) -> list[str]:
        """The curve for a terminal."""
        fresh = [f"kept fresh: {self.fresh}"]
        return fresh + [
            f"every {result.every}: {result.performance}; scores off by {result.score_shift:.4f}"
            for result in self.refreshed
        ]


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
    scored = single_score(bundle)
    rows, labels = labelled(spine, label)
    if not len(rows):
        raise SpineMismatch(label, "is null in every row of the window; choose another window")
    at = spine_times(rows)

    def scores(read_at: UtcMicrosArray | None) -> Scores:
        views = join(bundle.plan, sources, rows, read_at=read_at)
        return scored(bundle.assembler.values(views, request_values(bundle.plan, rows)))

    fresh = scores(None)
    results = []
    ordered = sorted(schedules, key=lambda schedule: schedule.every)
    for number, schedule in enumerate(ordered):
        report(f"every {short(schedule.every)}", number, len(ordered))
        stale = scores(schedule.filled(at))
        shift = float(np.abs(stale.astype(float) - fresh).mean())
        seconds = schedule.every / timedelta(seconds=1)
        results.append(ScheduleResult(short(schedule.every), seconds, _measured(labels, stale), shift))
    return WhatIfResult(
        model=bundle.manifest.name,
        version=bundle.manifest.version,
        start=window[0].isoformat(),
        end=window[1].isoformat(),
        delay=short(schedules[0].delay),
        fresh=_measured(labels, fresh),
        refreshed=tuple(results),
    )


def _measured(labels: np.ndarray, scores: Scores) -> ModelPerformance:
    performance = measure(labels, scores)
    assert performance is not None  # noqa: S101 - there are rows
    return performance
