"""The what-if on freshness as a page: AUC and logloss by schedule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from skewless.html.render import render
from skewless.html.table import PageTable, whole
from skewless.monitoring.audit.what_if import ScheduleResult, WhatIfResult


@dataclass(frozen=True, slots=True)
class WhatIfCurve:
    """A measure by schedule; `top` and `bottom` bound what is drawn."""

    title: str
    about: str
    names: tuple[str, ...]
    values: tuple[float, ...]
    top: float
    bottom: float


def page(found: WhatIfResult, made_at: datetime) -> str:
    """The whole page."""
    worst = max(found.refreshed, key=lambda one: one.performance.logloss)
    told = {"curves": _curves(found), "tables": [_table(found)], "worst": worst, "price": _price(found, worst)}
    return render("what_if.html", made_at, found=found, **told)


def _price(found: WhatIfResult, worst: ScheduleResult) -> str:
    """The most that staleness costs, in a sentence."""
    fresh, stale = found.fresh, worst.performance
    auc = f"AUC {_told(fresh.auc)} to {_told(stale.auc)}, " if fresh.auc is not None else ""
    told = f"Refreshed every {worst.every}, the model goes from {auc}logloss {fresh.logloss:.4f} to {stale.logloss:.4f}"
    beaten = stale.logloss >= fresh.constant_logloss
    return f"{told}: worse than a constant." if beaten else f"{told}; a constant has {fresh.constant_logloss:.4f}."


def _curves(found: WhatIfResult) -> list[WhatIfCurve]:
    names = ("kept fresh", *(f"every {one.every}" for one in found.refreshed))
    all_of = [found.fresh, *(one.performance for one in found.refreshed)]
    aucs = [one.auc for one in all_of if one.auc is not None]
    curves = []
    if len(aucs) == len(all_of):
        curves.append(_curve("AUC", "More is better; 0.5 knows nothing.", names, aucs))
    losses = [one.logloss for one in all_of]
    told = f"Less is better; the constant that fits best has {found.fresh.constant_logloss:.4f}."
    return [*curves, _curve("Logloss", told, names, losses)]


def _curve(title: str, about: str, names: tuple[str, ...], values: Sequence[float]) -> WhatIfCurve:
    return WhatIfCurve(title, about, names, tuple(values), max(values), min(values))


def _table(found: WhatIfResult) -> PageTable:
    rows = [("kept fresh", _told(found.fresh.auc), f"{found.fresh.logloss:.4f}", "0", whole(found.fresh.rows))]
    for one in found.refreshed:
        auc, loss = _told(one.performance.auc), f"{one.performance.logloss:.4f}"
        rows.append((f"every {one.every}", auc, loss, f"{one.moved:.4f}", whole(one.performance.rows)))
    heads = ("refreshed", "AUC", "logloss", "scores off by", "rows")
    return PageTable("By schedule", "Scores are off from those of a store that is kept fresh.", heads, tuple(rows))


def _told(auc: float | None) -> str:
    return "one class only" if auc is None else f"{auc:.4f}"
