"""Results as one HTML page that needs no network: Jinja templates beside this file, plots as inline SVG."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Protocol

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from pipelines.audit import Audited
from pipelines.drift import Drifted, Subject
from pipelines.reports import causes
from pipelines.reports.table import Table, percent, whole

_THOUSAND = 1_000
_LABEL = 14
_GROUPS = (
    ("score", "The score", "What the model answered, against what it answered on the rows of its test window."),
    ("input", "Inputs of the model", "Each column as the model took it."),
    ("key", "Who was asked about", "The join keys of the requests, by their most frequent values."),
    ("view", "Feature views", "For how many rows a view had no row for the entity, or only one beyond its ttl."),
)


class Windowed(Protocol):
    """What a run over a window of time found; both ends are ISO 8601."""

    @property
    def start(self) -> str: ...
    @property
    def end(self) -> str: ...


def drift_page(drifted: Drifted, made_at: datetime) -> str:
    """A drift run as a page; the furthest first."""
    groups = []
    for kind, title, about in _GROUPS:
        some = sorted((one for one in drifted.subjects if one.kind == kind), key=_furthest)
        groups += [(title, about, some)] if some else []
    judged = sum(bool(one.checks) for one in drifted.subjects)
    tests = sum(len(one.checks) for one in drifted.subjects)
    return render("drift.html", made_at, drifted=drifted, groups=groups, judged=judged, tests=tests)


def audit_page(audited: Audited, made_at: datetime, more: Sequence[Table] = ()) -> str:
    """An audit as a page: its causes, `more` tables, what they cost, then what differs."""
    return render(
        "audit.html",
        made_at,
        audited=audited,
        summary=causes.summary(audited),
        causes=causes.causes(audited),
        tables=[*more, *causes.tables(audited), *_audit_tables(audited)],
        bins=audited.live.calibration if audited.live else (),
    )


def _furthest(subject: Subject) -> tuple[bool, float]:
    ratios = [check.effect / check.threshold for check in subject.checks if check.threshold]
    return not subject.drifted, -max(ratios, default=-1.0)


def _audit_tables(audited: Audited) -> list[Table]:
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
            found.append(Table(title, about, (title[:-1].lower(), "rows", "of all"), counts_told, shares))
    return found


def short(number: float) -> str:
    """A number in three digits that count."""
    return f"{number:,.0f}" if _THOUSAND <= abs(number) < _THOUSAND**3 else f"{number:.3g}"


def probability(p_value: float) -> str:
    """A p-value."""
    return "<0.0001" if p_value < 0.0001 else f"{p_value:.2g}"


def moment(text: str) -> str:
    """An ISO 8601 time without what goes without saying."""
    at = datetime.fromisoformat(text)
    return at.strftime("%Y-%m-%d" if at.time().isoformat() == "00:00:00" else "%Y-%m-%d %H:%M") + " UTC"


def window(of: Windowed) -> str:
    """The window of a run, without a beginning that was not asked for."""
    begin = f"from {moment(of.start)} " if datetime.fromisoformat(of.start).timestamp() > 0 else ""
    return f"{begin}to {moment(of.end)}"


def label(name: str) -> str:
    """The name of a bar: a number in short, a text cut."""
    try:
        return short(float(name))
    except ValueError:
        return name if len(name) <= _LABEL else name[: _LABEL - 1] + "…"


def breakable(text: str) -> Markup:
    """A feature's full name, which may break after its view's."""
    return Markup("__<wbr>").join(text.split("__"))


def code(text: str) -> Markup:
    """A text whose commands stand between backticks."""
    parts = [escape(part) for part in text.split("`")]
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if place % 2 else part for place, part in enumerate(parts)
    )


def sentence(text: str) -> str:
    """A text as a sentence of its own."""
    return f"{text[:1].upper()}{text[1:]}."


def render(template: str, made_at: datetime, **values: object) -> str:
    """A template beside this file, filled in; what it does not know of is an error."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": percent,
        "whole": whole,
        "short": short,
        "probability": probability,
        "moment": moment,
        "window": window,
        "label": label,
        "breakable": breakable,
        "code": code,
        "sentence": sentence,
        "px": lambda number: f"{number:.1f}",
    }
    told = {"version": version("skewless"), "made_at": moment(made_at.isoformat())}
    return environment.get_template(template).render(**values, **told)
