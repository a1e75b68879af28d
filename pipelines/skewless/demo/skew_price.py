"""The price of skew: what two common mistakes cost the example's model, measured on its test months.

*Scheduled stamps*: departures and arrivals carry their scheduled time as event time, and training joins at departure.
Training then sees delays before they happened; offline the model shines, and in production, where a delay is known
only once it happened, it fails. *Daily refresh*: the honest model served from a store that was last filled at midnight.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import lightgbm as lgb
import msgspec
import numpy as np

from skewless.contract.model.assembler import Matrix
from skewless.contract.timestamps import to_micros
from skewless.definitions import repo_modules
from skewless.definitions.compiler import CompiledService
from skewless.files.durable import write_file
from skewless.model.training.labels import labelled
from skewless.model.training.train import evaluate, fit
from skewless.model.training.training_set import matrix_for, read_spine
from skewless.offline.join.point_in_time import spine_times
from skewless.offline.join.refresh_schedule import RefreshSchedule
from skewless.offline.tables import ingest
from skewless.offline.tables.source import TableSource
from skewless.project.learner import LightGbm
from skewless.project.model import LabelColumn
from skewless.project.project import ProjectContext
from skewless.project.table_rows import ingest_table
from skewless.project.windows import TimeSplit
from skewless.runtime.progress import Report, quiet

_REFRESHED_EVERY = (1, 3, 6, 12, 24)
RESULT = "skew-price.json"


class SkewPrice(msgspec.Struct, frozen=True):
    """AUC, logloss, the constant's logloss and rows of each case: `honest`, `scheduled_offline`, `scheduled_served`,
    `daily_refresh`, and `refreshed`: the honest model by hours between refreshes.
    """

    honest: dict[str, float]
    scheduled_offline: dict[str, float]
    scheduled_served: dict[str, float]
    daily_refresh: dict[str, float]
    refreshed: dict[str, dict[str, float]]


@dataclass(frozen=True, slots=True)
class PredictionTask:
    """What is predicted: the label, the split, the spine's table and how models are trained; `midnight` is how far
    after 00:00 UTC the day begins where it is predicted.
    """

    label: LabelColumn
    split: TimeSplit
    spine: str
    learner: LightGbm
    midnight: timedelta


def run(
    work: ProjectContext,
    definitions: CompiledService,
    task: PredictionTask,
    honest: Callable[[Matrix], np.ndarray],
    *,
    report: Report = quiet,
) -> SkewPrice:
    """Measure all cases. `honest` scores a model input with the published model; the project's data folder holds the honest tables,
    and the tables with scheduled stamps are made beside it. Raises: SourceMissing, FlightsMissing.
    """
    split, data, scratch = task.split, work.folders.data, work.folders.root / "skewed"
    report("tables with scheduled stamps", 0, 4)
    _write_scheduled(work, scratch, split)
    mistaken = CompiledService(definitions.plan, definitions.transforms, moved(definitions.sources, data, scratch))
    report("training on scheduled stamps", 1, 4)
    booster, offline = _mistaken_model(mistaken, scratch, task)
    report("serving both", 2, 4)
    spine, labels = labelled(read_spine(data / task.spine, split.test, split.end), task.label.name)
    matrix = matrix_for(definitions, spine)
    report("refreshing seldom", 3, 4)
    refreshed = {}
    for hours in _REFRESHED_EVERY:
        schedule = RefreshSchedule(timedelta(hours=hours), offset=task.midnight)
        stale = matrix_for(definitions, spine, read_at=schedule.filled(spine_times(spine)))
        refreshed[str(hours)] = evaluate(labels, honest(stale))
    return SkewPrice(
        honest=evaluate(labels, honest(matrix)),
        scheduled_offline=offline,
        scheduled_served=evaluate(labels, np.asarray(booster.predict(matrix))),
        daily_refresh=refreshed["24"],
        refreshed=refreshed,
    )


def _write_scheduled(work: ProjectContext, scratch: Path, split: TimeSplit) -> None:
    """The tables as the mistake makes them, by the function that makes the honest ones. Raises: FlightsMissing."""
    first, last = work.tables.days()
    repo = work.settings.feature_repo
    module = repo_modules.load(repo, "tables.flights")
    start = max(split.start.date() - timedelta(days=31), first)
    end = min(split.end.date() + timedelta(days=1), last)
    mistaken = module.tables(stamping="scheduled", lead=timedelta(0)) if module else []
    ingest.run([ingest_table(table, repo) for table in mistaken], scratch, start, end)


def moved(sources: Mapping[str, TableSource], data: Path, scratch: Path) -> dict[str, TableSource]:
    """The same sources in another data folder."""
    return {
        view: TableSource(
            source.view,
            scratch / source.path.relative_to(data),
            source.timestamp_field,
            source.created_timestamp_column,
            source.renamed,
        )
        for view, source in sources.items()
    }


def _mistaken_model(
    mistaken: CompiledService, scratch: Path, task: PredictionTask
) -> tuple[lgb.Booster, dict[str, float]]:
    """The model trained on scheduled stamps, and what it promises offline."""
    split = task.split
    spine = read_spine(scratch / task.spine, split.start, split.end)
    known, labels = labelled(spine, task.label.name)
    matrix = matrix_for(mistaken, known)
    times = spine_times(known)
    bounds = [to_micros(instant) for instant in (split.validate, split.test)]
    train, valid, test = times < bounds[0], (times >= bounds[0]) & (times < bounds[1]), times >= bounds[1]
    names = [column.name for column in mistaken.plan.columns]
    booster = fit(matrix[train], labels[train], matrix[valid], labels[valid], names, task.learner)
    return booster, evaluate(labels[test], np.asarray(booster.predict(matrix[test])))


def save(priced: SkewPrice, folder: Path) -> Path:
    """Write the numbers; returns the file."""
    path = folder / RESULT
    write_file(path, msgspec.json.format(msgspec.json.encode(priced)))
    return path


def load(folder: Path) -> SkewPrice | None:
    """The saved numbers, or None."""
    path = folder / RESULT
    return msgspec.json.decode(path.read_bytes(), type=SkewPrice) if path.exists() else None
