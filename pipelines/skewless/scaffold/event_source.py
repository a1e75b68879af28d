"""Where events come from: files that DuckDB reads, or a query of a PostgreSQL database. Both answer the same SQL.

Held by tests/scaffold/test_event_files.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from skewless.contract.errors import SkewlessError

SAMPLED = 100_000
"""Rows that types and columns are inferred from."""
Row = tuple[object, ...]


@dataclass(eq=False)
class EventsUnreadable(SkewlessError):
    """The files or the database of events cannot be read."""

    source: str
    reason: str

    def __str__(self) -> str:
        return f"{self.source} cannot be read: {self.reason}"


class EventSource(Protocol):
    """Events to look at; `title` names them in messages, `stem` is what their table may be called."""

    @property
    def title(self) -> str: ...
    @property
    def stem(self) -> str: ...
    @property
    def kinds(self) -> Sequence[tuple[str, str]]:
        """The columns by name, with their types in the source."""

    @property
    def distinct(self) -> str:
        """How many distinct values a column `{}` has, as SQL."""

    def sampled(self, values: Sequence[str], rest: str = "") -> Row:
        """The values, as SQL, of up to SAMPLED of the events: one row. `rest` is what follows the FROM.

        Raises: EventsUnreadable.
        """

    def all(self, values: Sequence[str], rest: str = "") -> Row:
        """The same of all events."""


def select(values: Sequence[str], relation: str, rest: str) -> str:
    """A query of values with names of their own."""
    named = ", ".join(f"{value} AS v{number}" for number, value in enumerate(values))
    return f"SELECT {named} FROM {relation} {rest}"  # noqa: S608 - names in them are quoted


def whole_number(value: object) -> int:
    """A number of a query's answer; 0 for null."""
    return int(Decimal(str(value or 0)))
