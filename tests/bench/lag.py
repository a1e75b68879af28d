"""What lag-aware training wins back on the flights: models trained fresh and as served, both served on one schedule.

Needs the tables (`skewless ingest`) in the state folder. `python -m tests.bench.lag` prints a Markdown table.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import lightgbm as lgb

from skewless.demo.demo import MIDNIGHT
from skewless.model.training import train, training_set
from skewless.model.training.labels import labelled
from skewless.model.training.training_set import TrainingSet
from skewless.offline.join.refresh_schedule import RefreshSchedule
from skewless.offline.join.spine import SpineFiles
from skewless.project.project import ProjectContext
from skewless.runtime.durations import short
from skewless.runtime.settings import ProjectSettings
from tests.tables.flights import FLIGHTS

SCHEDULES = ("1h", "6h", "24h")
SPLIT = FLIGHTS.windows.until(FLIGHTS.windows.end)


def main() -> None:
    """Join and train once for each schedule, and once fresh."""
    work = ProjectContext(ProjectSettings.read())
    with tempfile.TemporaryDirectory(dir=work.folders.root) as scratch:
        places = Path(scratch)
        fresh, _ = prepared(work, places / "fresh", None)
        print("| refreshed every | trained fresh: AUC / logloss | trained as served: AUC / logloss |\n|---|---|---|")
        best = evaluated(fresh, places / "fresh")
        print(f"| kept fresh | {told(best)} | |", flush=True)
        for text in SCHEDULES:
            # Days begin at midnight where it is predicted, as in the price of skew.
            schedule = RefreshSchedule(RefreshSchedule.parse(text).every, offset=MIDNIGHT)
            lagged, folder = prepared(work, places / text, schedule)
            lost, won = evaluated(fresh, folder), evaluated(lagged, folder)
            back = {name: (won[name] - lost[name]) / (best[name] - lost[name]) for name in ("auc", "logloss")}
            share = f"{back['auc']:.0%} of the AUC and {back['logloss']:.0%} of the logloss won back"
            print(f"| {short(schedule.every)} | {told(lost)} | {told(won)}: {share} |", flush=True)


def prepared(work: ProjectContext, folder: Path, schedule: RefreshSchedule | None) -> tuple[lgb.Booster, Path]:
    """A model that was trained on the months before the test, joined as a store on the schedule."""
    spine = SpineFiles(work.folders.data / FLIGHTS.spine, SPLIT.start, SPLIT.end)
    training_set.run(work.service(FLIGHTS.service), spine, folder, as_served=schedule, memory=work.settings.join_memory)
    train.run(TrainingSet(folder), FLIGHTS.label_column, SPLIT, FLIGHTS.learner)
    return train.load_model(folder)[0], folder


def evaluated(booster: lgb.Booster, folder: Path) -> dict[str, float]:
    """The model on the test months as joined in `folder`."""
    opened = TrainingSet(folder)
    rows, labels = labelled(opened.between(SPLIT.test, SPLIT.end), FLIGHTS.label)
    return train.evaluate(labels, booster.predict(opened.matrix(rows)))


def told(metrics: dict[str, float]) -> str:
    return f"{metrics['auc']:.4f} / {metrics['logloss']:.4f}"


if __name__ == "__main__":
    sys.exit(main())
