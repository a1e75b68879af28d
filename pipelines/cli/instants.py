"""Times on the command line."""

from __future__ import annotations

from datetime import UTC, datetime

import typer


def instant(text: str) -> datetime:
    """An ISO 8601 date or time; UTC where it names no zone."""
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no ISO 8601 time such as 2013-10-01 or 2013-10-01T12:00:00Z") from None
    return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)


def now() -> datetime:
    """The clock, read at the edge."""
    return datetime.now(UTC)
