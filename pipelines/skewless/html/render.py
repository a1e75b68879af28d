"""Results as one HTML page that needs no network: Jinja templates beside this file, plots as inline SVG."""

from __future__ import annotations

from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Protocol

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from skewless.html.table import percent, whole

_THOUSAND = 1_000
_LABEL = 14


class HasWindow(Protocol):
    """What a run over a window of time found; both ends are ISO 8601."""

    @property
    def start(self) -> str: ...
    @property
    def end(self) -> str: ...


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


def window(of: HasWindow) -> str:
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
