"""Arguments that several methods take: times, days, join keys; and the error of one that cannot be used."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from skewless.contract.errors import SkewlessError

Instant = str | date | datetime
"""A time: a datetime, a date (its UTC midnight), or text in ISO 8601; UTC where it has no zone."""
Length = str | timedelta
"""A length of time: a timedelta, or text as 90s, 15m, 1.5h, 7d."""
Spelling = Callable[[str], str]
"""How the user writes an argument of this name, for messages."""


@dataclass(eq=False)
class BadInstant(SkewlessError):
    """A text that is not a time."""

    text: object

    def __str__(self) -> str:
        return f"{self.text!r} is no ISO 8601 time such as 2013-10-01 or 2013-10-01T12:00:00Z"


@dataclass(eq=False)
class BadArgument(SkewlessError):
    """An argument that cannot be used, or not beside others; `argument` as the user writes it."""

    argument: str
    reason: str

    def __str__(self) -> str:
        return f"{self.argument} {self.reason}"


def as_argument(name: str) -> str:
    """An argument as a Python program writes it."""
    return f"{name}="


def instant(value: Instant) -> datetime:
    """An aware UTC time. Raises: BadInstant."""
    if not isinstance(value, str | date):
        raise BadInstant(value)
    parsed: date | datetime
    if isinstance(value, str):
        try:
            parsed = datetime.fromisoformat(value)
        except ValueError:
            raise BadInstant(value) from None
    else:
        parsed = value
    if not isinstance(parsed, datetime):
        return datetime(parsed.year, parsed.month, parsed.day, tzinfo=UTC)
    return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)


def optional_instant(value: Instant | None) -> datetime | None:
    """The same; None stays None."""
    return None if value is None else instant(value)


def utc_day(argument: str, value: Instant | None) -> date | None:
    """The UTC day that begins then. Raises: BadInstant, BadArgument within a day."""
    if value is None:
        return None
    begin = instant(value)
    day = begin.date()
    if begin != datetime(day.year, day.month, day.day, tzinfo=UTC):
        mend = f"give {day}, or the day after it"
        raise BadArgument(argument, f"{begin.isoformat()} is within a day, and whole UTC days are taken: {mend}")
    return day


def length(value: Length) -> timedelta:
    """A timedelta. Raises: BadDuration."""
    from skewless.runtime.durations import duration

    return duration(value) if isinstance(value, str) else value


def names(value: str | Iterable[str] | None) -> tuple[str, ...]:
    """One name or several; none for None."""
    return () if value is None else (value,) if isinstance(value, str) else tuple(value)


def choice(argument: str, value: str | None, choices: Iterable[str]) -> None:
    """Raises: BadArgument unless the value is None or one of the choices."""
    known = tuple(choices)
    if value is not None and value not in known:
        raise BadArgument(argument, f"is {value!r}; choose {' or '.join(known)}")


def at_least(argument: str, value: int, least: int) -> None:
    """Raises: BadArgument where the value is less."""
    if value < least:
        raise BadArgument(argument, f"is {value}; the least is {least}")
