"""Renders results as one HTML page that needs no network: Jinja templates beside this file, plots as inline SVG.

Held by tests/monitoring/reports/test_result_pages.py.
"""

from __future__ import annotations

from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Protocol

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from skewless.html.table import percent, thousands

_THOUSAND = 1_000
_LABEL = 14


class HasWindow(Protocol):
    """The result of a run over a window of time; `start` and `end` are ISO 8601."""

    @property
    def start(self) -> str: ...
    @property
    def end(self) -> str: ...


def short(number: float) -> str:
    """A number in three significant digits, or as a whole number from a thousand on."""
    return f"{number:,.0f}" if _THOUSAND <= abs(number) < _THOUSAND**3 else f"{number:.3g}"


def probability(p_value: float) -> str:
    """A p-value in two significant digits."""
    return "<0.0001" if p_value < 0.0001 else f"{p_value:.2g}"


def moment(text: str) -> str:
    """An ISO 8601 time to the minute, or only its date at midnight; in UTC."""
    at = datetime.fromisoformat(text)
    return at.strftime("%Y-%m-%d" if at.time().isoformat() == "00:00:00" else "%Y-%m-%d %H:%M") + " UTC"


def window(result: HasWindow) -> str:
    """The window of a run; a start at the epoch, which stands for no limit, is left out."""
    begin = f"from {moment(result.start)} " if datetime.fromisoformat(result.start).timestamp() > 0 else ""
    return f"{begin}to {moment(result.end)}"


def label(name: str) -> str:
    """The label of a bar: a number shortened, a text cut to 14 characters."""
    try:
        return short(float(name))
    except ValueError:
        return name if len(name) <= _LABEL else name[: _LABEL - 1] + "…"


def breakable(text: str) -> Markup:
    """A feature's full name, with a possible line break after its view's name."""
    return Markup("__<wbr>").join(text.split("__"))


def code(text: str) -> Markup:
    """A text with the parts between backticks as code."""
    parts = [escape(part) for part in text.split("`")]
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if index % 2 else part for index, part in enumerate(parts)
    )


def sentence(text: str) -> str:
    """A text with a capital first letter and a full stop."""
    return f"{text[:1].upper()}{text[1:]}."


def render(template: str, created_at: datetime, **values: object) -> str:
    """Render a template beside this file; an undefined variable in it is an error."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": percent,
        "thousands": thousands,
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
    footer = {"version": version("skewless"), "created_at": moment(created_at.isoformat())}
    return environment.get_template(template).render(**values, **footer)
