"""Times on the command line."""

from __future__ import annotations

from datetime import UTC, datetime

import typer


def instant(text: str) -> datetime:
    """An ISO 8601 date or time; UTC without a zone."""
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no ISO 8601 time such as 2013-10-01 or 2013-10-01T12:00:00Z") from None
    return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)


def span(start: str | None, end: str | None, *, full: bool = False) -> tuple[datetime | None, datetime]:
    """Start and end of a window; the start is None (unbounded) where it is absent, the end defaults to now."""
    if full and start:
        raise typer.BadParameter("--full starts at the beginning; leave out --start")
    since, until = instant(start) if start else None, instant(end) if end else now()
    if since is not None and since >= until:
        raise typer.BadParameter(f"--start {since.isoformat()} is not before --end {until.isoformat()}")
    return since, until


def now() -> datetime:
    """The clock, read at the edge."""
    return datetime.now(UTC)
