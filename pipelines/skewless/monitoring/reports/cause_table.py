"""The causes of an audit's differences, their price and the live performance, as its page and a terminal tell them."""

from __future__ import annotations

from dataclasses import dataclass

from skewless.html.table import PageTable, whole
from skewless.model.training.model_metrics import ModelPerformance
from skewless.monitoring.audit.attribution import CausedDifferences
from skewless.monitoring.audit.audit import AuditResult
from skewless.monitoring.audit.causes import MEANINGS, MENDS, SkewCause


def told(audited: AuditResult) -> list[str]:
    """The same for a terminal."""
    lines = [
        f"cause: {one.cause}, {one.view}: {one.rows:,} rows, {one.values:,} values, {one.statuses:,} statuses"
        for one in audited.causes
    ]
    lines += [f"mend of {one.cause}: {one.mend}" for one in causes(audited)]
    if audited.price and audited.price.rows:
        lines.append(f"price: {audited.price}")
    return lines + ([f"live: {audited.live}"] if audited.live else [])


@dataclass(frozen=True, slots=True)
class CauseRow:
    """One cause as the page tells it: its share of all rows, what it means, what to do, where it struck, some rows."""

    cause: str
    rows: int
    share: float
    meaning: str
    mend: str
    struck: PageTable
    examples: tuple[str, ...]


def causes(audited: AuditResult) -> list[CauseRow]:
    """The causes, the most rows first; defaults, which are no differences, last."""
    by_cause: dict[str, list[CausedDifferences]] = {}
    for one in audited.causes:
        by_cause.setdefault(one.cause, []).append(one)
    found = [_cause(cause, some, max(audited.rows, 1)) for cause, some in by_cause.items()]
    return sorted(found, key=lambda one: (one.cause == SkewCause.DEFAULT_USED, -one.rows))


def _cause(cause: str, some: list[CausedDifferences], of: int) -> CauseRow:
    rows = tuple(
        (one.view, whole(one.rows), whole(one.values), whole(one.statuses), f"{one.moved:.4f}") for one in some
    )
    shares = tuple(one.rows / of for one in some)
    heads = ("where", "rows", "values", "statuses", "score off by")
    most, kind = max(one.rows for one in some), SkewCause(cause)
    examples = tuple(example for one in some for example in one.examples)
    struck = PageTable("", "", heads, rows, shares)
    return CauseRow(cause, most, most / of, MEANINGS[kind], MENDS[kind], struck, examples)


def summary(audited: AuditResult) -> str:
    """What was found, in a sentence."""
    wrong = sum(audited.timeline.differing)
    told = f"{whole(wrong)} of {whole(audited.rows)} predictions were not what training sees."
    real = [one for one in audited.causes if one.cause != SkewCause.DEFAULT_USED]
    if real:
        first = max(real, key=lambda one: one.rows)
        told += f" The most frequent cause is {first.cause}: {first.view}, {whole(first.rows)} {'row' if first.rows == 1 else 'rows'}."
    return told


def tables(audited: AuditResult) -> list[PageTable]:
    """What the differences cost, then how well the scores told what came to pass."""
    return [*_price(audited), *_live(audited.live)]


def _price(audited: AuditResult) -> list[PageTable]:
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
    about = "Against the scores that the joined values get; a cost above zero is a loss."
    return [PageTable("The price", about, ("what", "how much"), tuple(rows))]


def _live(live: ModelPerformance | None) -> list[PageTable]:
    if live is None:
        return []
    rows = (
        ("outcomes known", whole(live.rows)),
        ("AUC", "one class only" if live.auc is None else f"{live.auc:.4f}"),
        ("logloss", f"{live.logloss:.4f}"),
        ("... of the best constant", f"{live.constant_logloss:.4f}"),
        ("calibration error", f"{live.calibration_error:.4f}"),
    )
    return [PageTable("Live performance", "The served scores against what came to pass.", ("what", "how much"), rows)]
