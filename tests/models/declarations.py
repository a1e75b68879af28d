"""Writes the `models.py` of a test's project."""

from __future__ import annotations

from pathlib import Path

from skewless.project import LightGbm, PromotionRule

HEAD = """from datetime import date, datetime, timedelta, timezone

from skewless.project import LightGbm, Model, PromotionRule, Windows
"""


def declaration(
    name: str,
    *,
    service: str,
    spine: str = "spine",
    label: str = "label",
    known: str = "label_known_after=timedelta(0)",
    windows: str = "None",
    learner: LightGbm | None = None,
    promotion: PromotionRule | None = None,
) -> str:
    """One model as source; `windows` and `known` are source themselves."""
    return f"""
{name} = Model(
    name={name!r}, service={service!r}, spine={spine!r}, label={label!r}, {known},
    windows={windows},
    learner={learner or LightGbm()!r},
    promotion={promotion or PromotionRule()!r},
)
"""


def declare(repo: Path, name: str, **fields: object) -> Path:
    """A project with this model alone; the file."""
    file = repo / "models.py"
    file.write_text(HEAD + declaration(name, **fields))  # type: ignore[arg-type]
    return file
