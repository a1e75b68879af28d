"""The pages of drift and audit."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from skewless.html.render import render
from skewless.html.table import PageTable, percent, whole
from skewless.monitoring.audit.audit import AuditResult
from skewless.monitoring.drift.drift import DriftResult, DriftSubject
from skewless.monitoring.reports import cause_table

_GROUPS = (
    ("score", "The score", "What the model answered, against what it answered on the rows of its test window."),
    ("input", "Inputs of the model", "Each column as the model took it."),
    ("key", "Who was asked about", "The join keys of the requests, by their most frequent values."),
    ("view", "Feature views", "For how many rows a view had no row for the entity, or only one beyond its ttl."),
)


def drift_page(drifted: DriftResult, made_at: datetime) -> str:
    """A drift run as a page; the furthest first."""
    groups = []
    for kind, title, about in _GROUPS:
        some = sorted((one for one in drifted.subjects if one.kind == kind), key=_furthest)
        groups += [(title, about, some)] if some else []
    judged = sum(bool(one.checks) for one in drifted.subjects)
    tests = sum(len(one.checks) for one in drifted.subjects)
    return render("drift.html", made_at, drifted=drifted, groups=groups, judged=judged, tests=tests)


def audit_page(audited: AuditResult, made_at: datetime, more: Sequence[PageTable] = ()) -> str:
    """An audit as a page: its causes, `more` tables, what they cost, then what differs."""
    return render(
        "audit.html",
        made_at,
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
    found = []
    counted = (
        ("Features", "How many rows have another value in the join, by column of the model.", audited.columns),
        ("Feature views", "How many rows have another status in the join.", audited.views),
    )
    for title, about, counts in counted:
        if counts:
            ordered = sorted(counts.items(), key=lambda one: -one[1])
            counts_told = tuple((name, whole(count), percent(count / rows)) for name, count in ordered)
            shares = tuple(count / rows for _, count in ordered)
            found.append(PageTable(title, about, (title[:-1].lower(), "rows", "of all"), counts_told, shares))
    return found
