"""A retraining as a page: the candidate beside the champion."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from skewless.html.render import render
from skewless.html.table import PageTable, whole
from skewless.model.training.model_metrics import ModelPerformance
from skewless.monitoring.reports.files import write
from skewless.monitoring.retraining.champion_challenger import ChallengerComparison
from skewless.monitoring.retraining.retrain import RetrainResult


def write_report(folder: Path, found: RetrainResult, made_at: datetime) -> Path:
    """The page and the JSON; the page's path."""
    stem = folder / f"retrain-{found.model}-{found.candidate}"
    return write(stem, found, page(found, made_at), None, html=None, json=None, prom=None)


def page(found: RetrainResult, made_at: datetime) -> str:
    """The whole page."""
    tables = [_table(one) for one in (found.held_out, found.live) if one is not None]
    return render("retrain.html", made_at, found=found, tables=tables)


def _table(one: ChallengerComparison) -> PageTable:
    rows = (
        ("logloss", f"{one.champion.logloss:.4f}", f"{one.candidate.logloss:.4f}"),
        ("AUC", _auc(one.champion), _auc(one.candidate)),
        ("calibration error", f"{one.champion.calibration_error:.4f}", f"{one.candidate.calibration_error:.4f}"),
        ("gain in logloss", "", f"{one.gain:+.5f}"),
        (f"... with {one.confidence:.0%} confidence", f"{one.low:+.5f}", f"{one.high:+.5f}"),
    )
    about = f"{whole(one.champion.rows)} rows in {whole(one.blocks)} blocks of time."
    return PageTable(one.where.capitalize(), about, ("measure", "champion", "candidate"), rows)


def _auc(of: ModelPerformance) -> str:
    return "one class only" if of.auc is None else f"{of.auc:.4f}"
