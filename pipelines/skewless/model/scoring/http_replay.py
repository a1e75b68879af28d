"""Replays requests over HTTP at many instants of the past, each after the store was materialized up to it.

The scores are what a server would have answered then, for a comparison with the offline scores of the same rows and times.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from skewless.contract.errors import SkewlessError
from skewless.contract.model.assembler import fields_of
from skewless.contract.plan import Plan, PlanView
from skewless.offline.join.point_in_time import TIMESTAMP
from skewless.offline.tables.source import TableSource
from skewless.online.materialization import materialize
from skewless.online.materialization.materialize import Check, unchecked
from skewless.online.store.online_project import OnlineProject
from skewless.runtime.progress import Report, quiet

_TIMEOUT_SECONDS = 30.0
# The picked instants may have fewer rows than the mean; then more are picked.
_GROWTH = 1.1


@dataclass(eq=False)
class PredictionRefused(SkewlessError):
    """The server did not answer a prediction."""

    status: int
    body: str

    def __str__(self) -> str:
        return f"the server answered {self.status}: {self.body}"


@dataclass(frozen=True, slots=True)
class ReplayInstant:
    """The spine rows with the same event_timestamp `at`."""

    at: datetime
    rows: pa.Table


def moments(spine: pa.Table, rows: int, *, least: int = 8) -> list[ReplayInstant]:
    """Instants with at least `least` rows each, evenly spaced over a spine and in order: as many as have `rows` rows
    together, or all.
    """
    times = spine.column(TIMESTAMP).combine_chunks()
    counted = pc.value_counts(times)
    busy = counted.filter(pc.greater_equal(counted.field("counts"), least))
    if not len(busy):
        return []
    values, counts = (busy.field(name).cast(pa.int64()).to_numpy() for name in ("values", "counts"))
    order = np.argsort(values)
    picked = _spread(counts[order], rows)
    instants = []
    for micros in values[order][picked].tolist():
        instant = pa.scalar(micros, pa.int64()).cast(times.type)
        instants.append(
            ReplayInstant(instant.as_py().astimezone(UTC), spine.filter(pc.equal(spine.column(TIMESTAMP), instant)))
        )
    return instants


def _spread(counts: NDArray[np.int64], rows: int) -> NDArray[np.int64]:
    """Evenly spaced positions in `counts`, as many as sum to `rows` or more, or all."""
    size = min(len(counts), math.ceil(rows / float(np.mean(counts))))
    while True:
        picked = np.linspace(0, len(counts) - 1, size).astype(np.int64)
        if size == len(counts) or counts[picked].sum() >= rows:
            return picked
        size = min(len(counts), math.ceil(size * _GROWTH))


class HttpReplay:
    """Materializes an online store up to successive instants, and requests predictions from a server at each."""

    def __init__(
        self,
        views: Sequence[tuple[PlanView, TableSource]],
        project: OnlineProject,
        check: Check = unchecked,
    ) -> None:
        self._views, self._project, self._check = views, project, check

    def materialize(self, until: datetime, report: Report = quiet) -> int:
        """Materialize the store up to `until`; returns the rows written. Raises: RedisUnreachable, QualityRefused."""
        stored = self._project.store.stored_views([view for view, _ in self._views])
        windows = materialize.plan_windows(
            self._project.state, self._project.name, self._views, end=until, stored=stored
        )
        done = materialize.run(windows, self._project, clock=lambda: until, report=report, check=self._check)
        return sum(counts.written for counts in done.values())

    def play(
        self, url: str, model: str, plan: Plan, played: Sequence[ReplayInstant], report: Report = quiet
    ) -> NDArray[np.float32]:
        """The served scores of all rows of all instants, in order. Raises: PredictionRefused, RedisUnreachable."""
        names = [field.name for field in fields_of(plan)]
        scores: list[float] = []
        with httpx.Client(base_url=url, timeout=_TIMEOUT_SECONDS) as client:
            for number, moment in enumerate(played):
                report(f"{moment.at:%Y-%m-%d %H:%M}", number, len(played))
                self.materialize(moment.at)
                body = {"rows": moment.rows.select(names).to_pylist(), "as_of": moment.at.isoformat()}
                scores += predict(client, model, body)
        return np.array(scores, np.float32)


def predict(client: httpx.Client, model: str, body: dict[str, object]) -> list[float]:
    """The scores of one request. Raises: PredictionRefused."""
    response = client.post(f"/v1/models/{model}/predict", json=body)
    if response.status_code != httpx.codes.OK:
        raise PredictionRefused(response.status_code, response.text)
    scores: list[float] = response.json()["scores"]
    return scores


def joined_rows(played: Sequence[ReplayInstant]) -> pa.Table:
    """The rows of all instants, in the order of `HttpReplay.play`'s scores."""
    return pa.concat_tables([moment.rows for moment in played])
