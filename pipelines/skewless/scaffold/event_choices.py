"""Which column of the events is their time, their key, the time since which they are known, and the label.

Held by tests/scaffold/test_event_choices.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from skewless.contract.errors import SkewlessError
from skewless.runtime.errors import did_you_mean
from skewless.scaffold.event_columns import (
    EVENT_NAME,
    KNOWN_NAME,
    TIME_NAME,
    EventColumn,
    feast_type,
    named_as_key,
)
from skewless.scaffold.event_source import EventSource, Row, whole_number
from skewless.scaffold.label_values import LabelValues, label_values
from skewless.scaffold.names import identifier

_MOST_LABELS = 50
"""Distinct values of a column that could still be mapped to 0 and 1."""
_LISTED = 5


def as_option(name: str) -> str:
    """An argument as `skewless init` writes it."""
    return f"--{name}"


@dataclass(eq=False)
class BadEventColumn(SkewlessError):
    """A column of events is missing, cannot be inferred, or cannot be what it should be; `option` names it."""

    source: str
    option: str
    reason: str
    mend: str = ""

    def __str__(self) -> str:
        given = self.option if self.option.endswith("=") else f"{self.option} "
        return f"{self.source}: {self.reason}; {self.mend or f'give {given}COLUMN'}"


@dataclass(frozen=True, slots=True)
class ChosenColumn:
    """A column, and the others that could be it."""

    column: EventColumn
    others: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EventChoices:
    """The columns of a source; each method chooses one. `spelled` writes an argument as its user does."""

    source: EventSource
    columns: Sequence[EventColumn]
    spelled: Callable[[str], str] = as_option

    @classmethod
    def of(cls, source: EventSource, spelled: Callable[[str], str] = as_option) -> EventChoices:
        """Raises: EventsUnreadable."""
        columns = [EventColumn(name, kind, feast_type(kind)) for name, kind in source.kinds]
        measured = _measured(columns, source.sampled, source.distinct)
        keys = [column for column in measured if column.key_named]
        everywhere = {column.name: column for column in _measured(keys, source.all, source.distinct)}
        return cls(source, [everywhere.get(column.name, column) for column in measured], spelled)

    def column(self, name: str, option: str) -> EventColumn:
        """Raises: BadEventColumn."""
        known = {column.name: column for column in self.columns}
        if name not in known:
            has = f"{did_you_mean(name, known)}it has {', '.join(known)}"
            raise BadEventColumn(self.source.title, option, f"it has no column {name!r}; {has}")
        return known[name]

    def time(self, name: str | None) -> ChosenColumn:
        """The column of the events' times. Raises: BadEventColumn."""
        if name is not None:
            column = self.column(name, self.spelled("time"))
            if not column.time or not column.present:
                raise BadEventColumn(
                    self.source.title, self.spelled("time"), f"{name!r} is {column.kind}, and holds no times"
                )
            return ChosenColumn(column)
        times = sorted(filter(_is_time, self.columns), key=_time_rank)
        if not times:
            raise BadEventColumn(self.source.title, self.spelled("time"), "no column holds times")
        return ChosenColumn(times[0], tuple(column.name for column in times[1:]))

    def known_since(self, time: EventColumn) -> ChosenColumn | None:
        """The column of the time since which an event is known: another time, called so, that is never before the event's.
        The others are never before it either.
        """
        later = [c for c in self.columns if c is not time and _is_time(c) and not self._before(c, time)]
        named = [column for column in later if KNOWN_NAME.search(identifier(column.name))]
        others = tuple(column.name for column in later if column not in named[:1])
        return ChosenColumn(named[0], others) if named else None

    def key(self, name: str | None, label: str | None) -> ChosenColumn:
        """The column of the entity's key. Raises: BadEventColumn."""
        if name is not None:
            column = self.column(name, self.spelled("entity"))
            if column.dtype not in ("Int64", "String"):
                reason = f"{name!r} is {column.kind}, neither whole nor text"
                raise BadEventColumn(self.source.title, self.spelled("entity"), reason)
            return ChosenColumn(column, self._keys(label, without=column))
        keys = self._keys(label)
        if not keys:
            names = ", ".join(column.name for column in self.columns)
            reason = f"no column has a name as customer_id and values that come again; it has {names}"
            raise BadEventColumn(self.source.title, self.spelled("entity"), reason)
        return ChosenColumn(self.column(keys[0], self.spelled("entity")), keys[1:])

    def label(self, text: str) -> tuple[EventColumn, LabelValues]:
        """The column of `COLUMN` or `COLUMN=VALUE`, and its values as 0 and 1. Raises: BadEventColumn."""
        name, one = text, None
        if text not in {column.name for column in self.columns} and "=" in text:
            name, _, one = text.partition("=")
        column = self.column(name, self.spelled("label"))
        values = self._values(column)
        mend = f"`{self.spelled('label')}{name}=VALUE` says which of its values counts as 1"
        listed = ", ".join(map(repr, values[:_LISTED])) + (", ..." if len(values) > _LISTED else "")
        if len(values) == 1:
            raise BadEventColumn(
                self.source.title,
                self.spelled("label"),
                f"{name!r} is {listed} in every row, which nothing can be learned from",
            )
        mapped = label_values(column, values, one) if values else None
        if mapped is None:
            holds = f"{name!r} holds {listed or 'too many values'}"
            reason = (
                f"{holds}, and no {one!r}" if one is not None else f"{holds}, which are not 0 and 1, nor yes and no"
            )
            raise BadEventColumn(self.source.title, self.spelled("label"), reason, mend)
        return column, mapped

    def _keys(self, label: str | None, without: EventColumn | None = None) -> tuple[str, ...]:
        keys = [column for column in self.columns if column.key_named and column.present and not column.numbers_rows]
        return tuple(column.name for column in keys if column is not without and column.name != label)

    def _before(self, column: EventColumn, time: EventColumn) -> bool:
        (rows,) = self.source.sampled(["count(*)"], f"WHERE {column.time} < {time.time}")
        return rows != 0

    def _values(self, column: EventColumn) -> list[str]:
        """The distinct values as texts; none where there are too many."""
        if column.distinct > _MOST_LABELS:
            return []
        text = f"CAST({column.value} AS VARCHAR)"
        (values,) = self.source.all([f"array_agg(DISTINCT {text})"], f"WHERE {column.sql} IS NOT NULL")
        return sorted(map(str, values)) if isinstance(values, list) else []


def _is_time(column: EventColumn) -> bool:
    """Whether a column holds times; numbers do only under the name of one."""
    named = TIME_NAME.search(identifier(column.name)) or column.dtype == "UnixTimestamp"
    return bool(column.time and column.present and named)


def _time_rank(column: EventColumn) -> tuple[bool, bool, bool, bool]:
    name = identifier(column.name)
    known, named = KNOWN_NAME.search(name), TIME_NAME.search(name)
    return not EVENT_NAME.search(name), bool(known), not named, column.kind == "DATE"


def _measured(columns: Sequence[EventColumn], row: Callable[[Sequence[str]], Row], distinct: str) -> list[EventColumn]:
    """The columns with their counts among the rows of a query."""
    if not columns:
        return []
    measures = [measure for column in columns for measure in _measures(column, distinct)]
    found = iter(list(map(whole_number, row(measures))))
    return [_with_measures(column, *(next(found) for _ in range(4))) for column in columns]


def _measures(column: EventColumn, distinct: str) -> tuple[str, str, str, str]:
    """SQL: how many values, how many distinct ones, the greatest of whole numbers, and how many are no time, or not whole."""
    sql = column.sql
    greatest, unfit = "0", "1"
    if column.dtype == "Int64":
        greatest = f"max({sql})"
    elif column.dtype == "Float64" and named_as_key(column.name):
        unfit = f"count(*) FILTER (WHERE {sql} <> floor({sql}) OR abs({sql}) >= 9007199254740992)"
    elif column.kind == "VARCHAR" and TIME_NAME.search(identifier(column.name)):
        unfit = f"count(*) FILTER (WHERE {sql} IS NOT NULL AND TRY_CAST({sql} AS TIMESTAMP WITH TIME ZONE) IS NULL)"
    counted = distinct.format(sql) if column.dtype else "0"
    return f"count({sql})", counted, greatest, unfit


def _with_measures(column: EventColumn, present: int, distinct: int, greatest: int, unfit: int) -> EventColumn:
    fits = present > 0 and not unfit
    dtype = "Int64" if fits and column.dtype == "Float64" else column.dtype
    text_time = fits and column.dtype == "String"
    return replace(column, present=present, distinct=distinct, greatest=greatest, dtype=dtype, text_time=text_time)
