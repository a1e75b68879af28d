"""A retraining result as a page: the candidate beside the champion.

Held by tests/monitoring/retraining/test_retrain.py.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from skewless.html.render import render
from skewless.html.table import PageTable, thousands
from skewless.model.training.model_metrics import ModelPerformance
from skewless.monitoring.reports.files import write
from skewless.monitoring.retraining.champion_challenger import ChallengerComparison
from skewless.monitoring.retraining.retrain import RetrainResult


def write_report(folder: Path, result: RetrainResult, created_at: datetime) -> Path:
    """Write the page and the JSON; returns the page's path."""
    stem = folder / f"retrain-{result.model}-{result.candidate}"
    return write(stem, result, page(result, created_at), None, html=None, json=None, prom=None)


def page(result: RetrainResult, created_at: datetime) -> str:
    """The page as HTML."""
    tables = [_table(compared) for compared in (result.held_out, result.live) if compared is not None]
    return render("retrain.html", created_at, result=result, tables=tables)


def _table(compared: ChallengerComparison) -> PageTable:
    rows = (
        ("logloss", f"{compared.champion.logloss:.4f}", f"{compared.candidate.logloss:.4f}"),
        ("AUC", _auc(compared.champion), _auc(compared.candidate)),
        (
            "calibration error",
            f"{compared.champion.calibration_error:.4f}",
            f"{compared.candidate.calibration_error:.4f}",
        ),
        ("gain in logloss", "", f"{compared.gain:+.5f}"),
        (f"... with {compared.confidence:.0%} confidence", f"{compared.low:+.5f}", f"{compared.high:+.5f}"),
    )
    about = f"{thousands(compared.champion.rows)} rows in {thousands(compared.blocks)} blocks of time."
    return PageTable(compared.where.capitalize(), about, ("measure", "champion", "candidate"), rows)


def _auc(performance: ModelPerformance) -> str:
    return "one class only" if performance.auc is None else f"{performance.auc:.4f}"
