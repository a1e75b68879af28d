"""The price of skew as a picture.

Held by tests/demo/test_demo.py.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from skewless.demo.skew_price import SkewPrice

mpl.use("Agg")
_PROMISED, _SERVED, _GOOD = "#b8c4d6", "#c2452d", "#2f6f4f"


def draw(priced: SkewPrice, path: Path) -> Path:
    """Draw the numbers as a PNG at `path`; the path."""
    figure = Figure(figsize=(11, 4.2), dpi=110, layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    _mistakes(left, priced)
    _freshness(right, priced)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Software": ""})
    return path


def _mistakes(axes: Axes, priced: SkewPrice) -> None:
    cases = (
        ("Skewless:\nserved = offline", priced.honest, priced.honest, _GOOD),
        ("events stamped at\ntheir scheduled time", priced.scheduled_offline, priced.scheduled_served, _SERVED),
        ("features refreshed\nonly at midnight", priced.honest, priced.daily_refresh, _SERVED),
    )
    for place, (_, promised, served, colour) in enumerate(cases):
        axes.bar(place - 0.2, promised["auc"], 0.38, color=_PROMISED)
        axes.bar(place + 0.2, served["auc"], 0.38, color=colour)
        axes.text(place - 0.2, promised["auc"] + 0.005, f"{promised['auc']:.3f}", ha="center")
        axes.text(place + 0.2, served["auc"] + 0.005, f"{served['auc']:.3f}", ha="center", weight="bold")
        text = f"logloss {served['logloss']:.3f}"
        axes.text(place + 0.2, 0.515, text, ha="center", va="bottom", rotation=90, color="white", fontsize=9)
    axes.set_xticks(range(len(cases)), [name for name, *_ in cases])
    axes.set_ylim(0.5, 1.0)
    axes.set_ylabel("AUC on October to December")
    constant = priced.honest["constant_logloss"]
    axes.set_title(f"promised offline (grey) and served (colour); a constant's logloss is {constant:.3f}", fontsize=10)
    _open(axes)


def _freshness(axes: Axes, priced: SkewPrice) -> None:
    hours = sorted(priced.refreshed, key=int)
    axes.plot(
        [0, *(int(h) for h in hours)],
        [priced.honest["auc"], *(priced.refreshed[h]["auc"] for h in hours)],
        marker="o",
        color=_SERVED,
    )
    axes.plot([0], [priced.honest["auc"]], marker="o", color=_GOOD)
    axes.set_xticks([0, *(int(hour) for hour in hours[2:])], ["kept fresh", *hours[2:]])
    axes.set_xlabel("hours between refreshes of the online store")
    axes.set_ylabel("AUC served")
    axes.set_title("the same model, served from staler features", fontsize=10)
    axes.grid(alpha=0.3)
    _open(axes)


def _open(axes: Axes) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
