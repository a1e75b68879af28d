"""The causes of an audit's differences, their cost and the live performance, for its page and for a terminal.

Held by tests/monitoring/reports/test_result_pages.py.
"""

from __future__ import annotations

from dataclasses import dataclass

from skewless.html.table import PageTable, thousands
from skewless.model.training.model_metrics import ModelPerformance
from skewless.monitoring.audit.attribution import CausedDifferences
from skewless.monitoring.audit.audit import AuditResult
from skewless.monitoring.audit.causes import MEANINGS, REMEDIES, SkewCause


def terminal_lines(audited: AuditResult) -> list[str]:
    """The causes, what to do about each, the cost and the live performance as lines for a terminal."""
    lines = [
        f"cause: {group.cause}, {group.view}: {group.rows:,} rows, {group.values:,} values, {group.statuses:,} statuses"
        for group in audited.causes
    ]
    lines += [f"what to do about {row.cause}: {row.remedy}" for row in causes(audited)]
    if audited.score_impact and audited.score_impact.rows:
        lines.append(f"price: {audited.score_impact}")
    return lines + ([f"live: {audited.live}"] if audited.live else [])


@dataclass(frozen=True, slots=True)
class CauseRow:
    """A cause as the page shows it: its share of all rows, what it means, what to do, its counts by view, some examples."""

    cause: str
    rows: int
    share: float
    meaning: str
    remedy: str
    by_view: PageTable
    examples: tuple[str, ...]


def causes(audited: AuditResult) -> list[CauseRow]:
    """The causes, the most rows first; defaults, which are no differences, last."""
    by_cause: dict[str, list[CausedDifferences]] = {}
    for differences in audited.causes:
        by_cause.setdefault(differences.cause, []).append(differences)
    rows = [_cause(cause, by_view, max(audited.rows, 1)) for cause, by_view in by_cause.items()]
    return sorted(rows, key=lambda row: (row.cause == SkewCause.DEFAULT_USED, -row.rows))


def _cause(cause: str, by_view: list[CausedDifferences], audited_rows: int) -> CauseRow:
    cells = tuple(
        (each.view, *map(thousands, (each.rows, each.values, each.statuses)), f"{each.score_shift:.4f}")
        for each in by_view
    )
    shares = tuple(each.rows / audited_rows for each in by_view)
    heads = ("where", "rows", "values", "statuses", "score off by")
    most, kind = max(each.rows for each in by_view), SkewCause(cause)
    examples = tuple(example for each in by_view for example in each.examples)
    table = PageTable("", "", heads, cells, shares)
    return CauseRow(cause, most, most / audited_rows, MEANINGS[kind], REMEDIES[kind], table, examples)


def summary(audited: AuditResult) -> str:
    """The result in a sentence or two: how many predictions differ, and the most frequent cause."""
    wrong = sum(audited.timeline.differing)
    text = f"{thousands(wrong)} of {thousands(audited.rows)} predictions were not what training sees."
    differences = [each for each in audited.causes if each.cause != SkewCause.DEFAULT_USED]
    if differences:
        first = max(differences, key=lambda each: each.rows)
        count = f"{thousands(first.rows)} {'row' if first.rows == 1 else 'rows'}"
        text += f" The most frequent cause is {first.cause}: {first.view}, {count}."
    return text


def tables(audited: AuditResult) -> list[PageTable]:
    """What the differences cost, then the performance of the served scores against the outcomes."""
    return [*_cost(audited), *_live(audited.live)]


def _cost(audited: AuditResult) -> list[PageTable]:
    impact = audited.score_impact
    if not impact or not impact.rows:
        return []
    rows = [
        ("scores that are off", thousands(impact.rows)),
        ("... on average, by", f"{impact.mean:.4f}"),
        ("... at most, by", f"{impact.largest:.4f}"),
    ]
    if impact.logloss is not None:
        rows.append(("cost in logloss", f"{impact.logloss:+.4f}"))
    if impact.auc is not None:
        rows.append(("cost in AUC", f"{impact.auc:+.4f}"))
    about = "Compared with the scores of the joined values; a cost above zero is a loss."
    return [PageTable("The price", about, ("what", "how much"), tuple(rows))]


def _live(live: ModelPerformance | None) -> list[PageTable]:
    if live is None:
        return []
    rows = (
        ("outcomes known", thousands(live.rows)),
        ("AUC", "one class only" if live.auc is None else f"{live.auc:.4f}"),
        ("logloss", f"{live.logloss:.4f}"),
        ("... of the best constant", f"{live.constant_logloss:.4f}"),
        ("calibration error", f"{live.calibration_error:.4f}"),
    )
    return [PageTable("Live performance", "The served scores against the outcomes.", ("what", "how much"), rows)]
