"""The pages of drift and audit results."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from skewless.html.render import render
from skewless.html.table import PageTable, percent, thousands
from skewless.monitoring.audit.audit import AuditResult
from skewless.monitoring.drift.drift import DriftResult, DriftSubject
from skewless.monitoring.reports import cause_table

_GROUPS = (
    ("score", "The score", "The served scores, compared with the scores of the model's test window."),
    ("input", "Inputs of the model", "Each model input column, as the model received it."),
    ("key", "Entities of the requests", "The join keys of the requests, by their most frequent values."),
    ("view", "Feature views", "For how many rows a view had no row for the entity, or only one beyond its ttl."),
)


def drift_page(drifted: DriftResult, created_at: datetime) -> str:
    """A drift run as a page; in each group the largest effects come first."""
    groups = []
    for kind, title, about in _GROUPS:
        subjects = sorted((subject for subject in drifted.subjects if subject.kind == kind), key=_furthest)
        groups += [(title, about, subjects)] if subjects else []
    judged = sum(bool(subject.checks) for subject in drifted.subjects)
    tests = sum(len(subject.checks) for subject in drifted.subjects)
    return render("drift.html", created_at, drifted=drifted, groups=groups, judged=judged, tests=tests)


def audit_page(audited: AuditResult, created_at: datetime, more: Sequence[PageTable] = ()) -> str:
    """An audit as a page: its causes, `more` tables, what the differences cost, then what differs."""
    return render(
        "audit.html",
        created_at,
        audited=audited,
        summary=cause_table.summary(audited),
        causes=cause_table.causes(audited),
        tables=[*more, *cause_table.tables(audited), *_audit_tables(audited)],
        bins=audited.live.calibration if audited.live else (),
    )


def _furthest(subject: DriftSubject) -> tuple[bool, float]:
    ratios = [check.effect / check.threshold for check in subject.checks if check.threshold]
    return not subject.drifted, -max(ratios, default=-1.0)


def _audit_tables(audited: AuditResult) -> list[PageTable]:
    rows = max(audited.rows, 1)
    tables = []
    counted = (
        ("Features", "How many rows have another value in the join, by column of the model.", audited.columns),
        ("Feature views", "How many rows have another status in the join.", audited.views),
    )
    for title, about, counts in counted:
        if counts:
            ordered = sorted(counts.items(), key=lambda item: -item[1])
            cells = tuple((name, thousands(count), percent(count / rows)) for name, count in ordered)
            shares = tuple(count / rows for _, count in ordered)
            tables.append(PageTable(title, about, (title[:-1].lower(), "rows", "of all"), cells, shares))
    return tables
