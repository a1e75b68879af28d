"""A what-if on freshness as a page: AUC and logloss by refresh schedule.

Held by tests/monitoring/audit/test_what_if.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from skewless.html.render import render
from skewless.html.table import PageTable, thousands
from skewless.monitoring.audit.what_if import ScheduleResult, WhatIfResult


@dataclass(frozen=True, slots=True)
class WhatIfCurve:
    """A measure by schedule; `top` and `bottom` are the limits of the vertical axis."""

    title: str
    about: str
    names: tuple[str, ...]
    values: tuple[float, ...]
    top: float
    bottom: float


def page(result: WhatIfResult, created_at: datetime) -> str:
    """The page as HTML."""
    worst = max(result.refreshed, key=lambda schedule: schedule.performance.logloss)
    return render(
        "what_if.html",
        created_at,
        result=result,
        curves=_curves(result),
        tables=[_table(result)],
        worst=worst,
        price=_price(result, worst),
    )


def _price(result: WhatIfResult, worst: ScheduleResult) -> str:
    """The most that staleness costs, in a sentence."""
    fresh, stale = result.fresh, worst.performance
    auc = f"AUC {_auc(fresh.auc)} to {_auc(stale.auc)}, " if fresh.auc is not None else ""
    text = f"Refreshed every {worst.every}, the model goes from {auc}logloss {fresh.logloss:.4f} to {stale.logloss:.4f}"
    beaten = stale.logloss >= fresh.constant_logloss
    return f"{text}: worse than a constant." if beaten else f"{text}; a constant has {fresh.constant_logloss:.4f}."


def _curves(result: WhatIfResult) -> list[WhatIfCurve]:
    names = ("kept fresh", *(f"every {schedule.every}" for schedule in result.refreshed))
    performances = [result.fresh, *(schedule.performance for schedule in result.refreshed)]
    aucs = [performance.auc for performance in performances if performance.auc is not None]
    curves = []
    if len(aucs) == len(performances):
        curves.append(_curve("AUC", "Higher is better; 0.5 is no better than chance.", names, aucs))
    losses = [performance.logloss for performance in performances]
    about = f"Lower is better; the best constant has {result.fresh.constant_logloss:.4f}."
    return [*curves, _curve("Logloss", about, names, losses)]


def _curve(title: str, about: str, names: tuple[str, ...], values: Sequence[float]) -> WhatIfCurve:
    return WhatIfCurve(title, about, names, tuple(values), max(values), min(values))


def _table(result: WhatIfResult) -> PageTable:
    rows = [("kept fresh", _auc(result.fresh.auc), f"{result.fresh.logloss:.4f}", "0", thousands(result.fresh.rows))]
    for schedule in result.refreshed:
        auc, loss = _auc(schedule.performance.auc), f"{schedule.performance.logloss:.4f}"
        shift, count = f"{schedule.score_shift:.4f}", thousands(schedule.performance.rows)
        rows.append((f"every {schedule.every}", auc, loss, shift, count))
    heads = ("refreshed", "AUC", "logloss", "scores off by", "rows")
    about = "Scores are compared with those of a store that is kept fresh."
    return PageTable("By schedule", about, heads, tuple(rows))


def _auc(auc: float | None) -> str:
    return "one class only" if auc is None else f"{auc:.4f}"
