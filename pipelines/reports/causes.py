"""The causes of an audit's differences, their price and the live performance, as tables of its page and as lines."""

from __future__ import annotations

from pipelines.audit import Audited
from pipelines.causes import MEANINGS, Cause
from pipelines.performance import Performance
from pipelines.reports.table import Table, percent, whole


def told(audited: Audited) -> list[str]:
    """The same for a terminal."""
    lines = [
        f"cause: {one.cause}, {one.view}: {one.rows:,} rows, {one.values:,} values, {one.statuses:,} statuses"
        for one in audited.causes
    ]
    if audited.price and audited.price.rows:
        lines.append(f"price: {audited.price}")
    return lines + ([f"live: {audited.live}"] if audited.live else [])


def tables(audited: Audited) -> list[Table]:
    """Causes first, then what they cost, then how well the scores told what came to pass."""
    return [*_causes(audited), *_price(audited), *_live(audited.live)]


def _causes(audited: Audited) -> list[Table]:
    if not audited.causes:
        return []
    rows = tuple(
        (f"{one.cause}: {one.view}", whole(one.rows), whole(one.values), whole(one.statuses), f"{one.moved:.4f}")
        for one in audited.causes
    )
    shares = tuple(one.rows / max(audited.rows, 1) for one in audited.causes)
    meanings = tuple((cause, MEANINGS[Cause(cause)]) for cause in dict.fromkeys(one.cause for one in audited.causes))
    examples = tuple((f"{one.cause}: {example}",) for one in audited.causes for example in one.examples)
    return [
        Table(
            "Causes",
            "Each difference has exactly one. A served row may differ in several views.",
            ("cause and feature view", "rows", "values", "statuses", "score off by"),
            rows,
            shares,
        ),
        Table("What the causes mean", "", ("cause", "evidence"), meanings, texts=True),
        Table(
            "Evidence", "Some rows of each cause.", ("what was served and what the join uses",), examples, texts=True
        ),
    ]


def _price(audited: Audited) -> list[Table]:
    found = audited.price
    if not found or not found.rows:
        return []
    rows = [
        ("scores that are off", whole(found.rows)),
        ("... by, in the mean", f"{found.mean:.4f}"),
        ("... by, at most", f"{found.largest:.4f}"),
    ]
    if found.logloss is not None:
        rows.append(("cost in logloss", f"{found.logloss:+.4f}"))
    if found.auc is not None:
        rows.append(("cost in AUC", f"{found.auc:+.4f}"))
    return [Table("The price", "Against the scores that the joined values get.", ("what", "how much"), tuple(rows))]


def _live(live: Performance | None) -> list[Table]:
    if live is None:
        return []
    rows = (
        ("outcomes known", whole(live.rows)),
        ("AUC", "one class only" if live.auc is None else f"{live.auc:.4f}"),
        ("logloss", f"{live.logloss:.4f}"),
        ("... of the best constant", f"{live.constant_logloss:.4f}"),
        ("calibration error", f"{live.calibration_error:.4f}"),
    )
    bins = tuple((f"{one.score:.4f}", percent(one.share), whole(one.rows)) for one in live.calibration)
    return [
        Table("Live performance", "The served scores against what came to pass.", ("what", "how much"), rows),
        Table(
            "Calibration",
            "Scores in bins of about one size: a calibrated model's share is its mean score.",
            ("mean score", "came true", "rows"),
            bins,
            tuple(one.share for one in live.calibration),
        ),
    ]
