"""Times on the command line."""

from __future__ import annotations

from datetime import UTC, datetime

import typer

from skewless.sdk.arguments import BadInstant
from skewless.sdk.arguments import instant as parsed


def instant(text: str) -> datetime:
    """An ISO 8601 date or time; UTC without a zone."""
    try:
        return parsed(text)
    except BadInstant as error:
        raise typer.BadParameter(str(error)) from None


def now() -> datetime:
    """The clock, read at the edge."""
    return datetime.now(UTC)


def optional(text: str | None) -> datetime | None:
    """The same; None where nothing was typed."""
    return instant(text) if text else None
