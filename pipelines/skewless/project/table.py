"""What a project declares of its tables, in `tables.py` beside its definitions (or the package `tables`).

    from skewless.project import SqlQuery, Table

    @Table("orders", keys="customer", start="2024-01-01")
    def orders(start, end):                     # aware UTC midnights: the rows with start <= event time < end
        return pandas.read_parquet(...)         # or an Arrow table or reader, Polars, a DuckDB relation, a list of dicts

    visits = Table("visits", keys="customer", rows=SqlQuery("FROM 'raw/*.csv' WHERE event_timestamp >= $start AND ..."))
    refunds = Table("refunds", keys="customer")  # filled by hand: skewless ingest refunds FILE...

Every `Table` at the top level of the module counts, and every list or tuple of them. This module imports neither Feast
nor Arrow, since Feast imports `tables.py` too.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from pathlib import PurePath
from typing import Literal, get_args
from zoneinfo import ZoneInfo

from skewless.contract.errors import SkewlessError

RowsFunction = Callable[..., object]
Extent = Literal["range", "since", "all", "files"]
Every = Literal["day", "hour"]
EVENT, CREATED = "event_timestamp", "created_timestamp"


@dataclass(eq=False)
class BadTable(SkewlessError):
    """The declaration of a table cannot be used."""

    table: str
    reason: str

    def __str__(self) -> str:
        return (
            f"table {self.table!r} cannot be used: {self.reason}; mend its declaration in the project's tables module"
        )


@dataclass(frozen=True, slots=True)
class SqlQuery:
    """Rows by SQL: of DuckDB, over files and folders below the project and object storage, or of a database.

    `database` names the environment variable that has the database's SQLAlchemy URL, as `postgresql://...`; the query is
    then in that database's own SQL. `$start` and `$end` are the range's ends, `$since` is the position of a table with
    `new_by`. A query with none of them returns the whole table.
    """

    sql: str
    database: str | None = None

    def parameters(self) -> frozenset[str]:
        """Which of its parameters the query names."""
        return frozenset(name for name in ("start", "end", "since") if f"${name}" in self.sql)


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the data folder: its name, its keys, and what fills it.

    `rows` is a function or a query: of (start, end), of nothing for the whole table at once, or with `new_by` of (since).
    Without it the table is filled from files. As a decorator a Table takes the function below it as its `rows`.
    """

    name: str
    keys: Sequence[str] = field(kw_only=True)
    """The column, or columns, that tell entities apart; () for a table of the whole world."""
    rows: RowsFunction | SqlQuery | None = field(default=None, kw_only=True)
    start: date | str | None = field(default=None, kw_only=True)
    """First UTC day with rows, for `skewless ingest` without `--start`."""
    end: date | str | None = field(default=None, kw_only=True)
    """First UTC day after the last one with rows. Default: tomorrow."""
    event_timestamp: str = field(default=EVENT, kw_only=True)
    """The source's column of the time at which a row is true; the table has it as `event_timestamp`."""
    created_timestamp: str | None = field(default=None, kw_only=True)
    """The source's column of the time since which a row is known; the table has it as `created_timestamp`. Default: the
    column of that name, if there is one."""
    columns: Mapping[str, str] = field(default_factory=dict, kw_only=True)
    """Other names: of a column in the source, and what the table calls it."""
    types: Mapping[str, object] = field(default_factory=dict, kw_only=True)
    """Feast types of columns by name, as `Float64` or "Float64". Default: those of the feature views that read the table."""
    timezone: str = field(default="UTC", kw_only=True)
    """The zone of times without one."""
    stamped: bool = field(default=False, kw_only=True)
    """Rows are known since they first came in: they get that time as `created_timestamp` and keep it. A row that came in
    changed is a correction, and the old row stays."""
    every: Every = field(default="day", kw_only=True)
    """How often a scheduler fills it: an "hour" is for rows that are needed within the day. Airflow reads it without running
    the module, so write it out."""
    new_by: str | None = field(default=None, kw_only=True)
    """The source's column, a time or a number, that grows with every new or changed row: its function of (since), or its
    query with `$since`, returns the rows with `new_by >= since`, which is the greatest value of the runs before."""
    new_from: datetime | float = field(default=datetime(1970, 1, 1, tzinfo=UTC), kw_only=True)
    """`since` of the first run: a time, or a number where `new_by` is one."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "keys", (self.keys,) if isinstance(self.keys, str) else tuple(self.keys))
        for name in ("start", "end"):
            object.__setattr__(self, name, _day(self.name, name, getattr(self, name)))
        _confirm(self)

    def __call__(self, rows: RowsFunction) -> Table:
        """This table, filled by the function."""
        return replace(self, rows=rows)

    @property
    def key_columns(self) -> tuple[str, ...]:
        """The keys as a tuple."""
        return (self.keys,) if isinstance(self.keys, str) else tuple(self.keys)

    @property
    def first_day(self) -> date | None:
        return self.start if isinstance(self.start, date) else None

    @property
    def after_last_day(self) -> date | None:
        return self.end if isinstance(self.end, date) else None

    @property
    def extent(self) -> Extent:
        """What is read at a time: a `range` of days, what is new `since` a position, `all`, or `files` by hand.

        Raises: BadTable.
        """
        if self.rows is None:
            return "files"
        if isinstance(self.rows, SqlQuery):
            wanted = self.rows.parameters()
            arguments = ["since"] if "since" in wanted else ["start", "end"] if wanted else []
        else:
            arguments = _arguments(self.name, self.rows)
        if self.new_by is not None:
            if len(arguments) != 1:
                raise BadTable(self.name, "with `new_by` its rows are a function of (since), or a query with $since")
            return "since"
        if len(arguments) == 1:
            raise BadTable(self.name, "its rows are a function of (since), which needs `new_by`")
        return "range" if arguments else "all"


def _arguments(table: str, rows: RowsFunction) -> list[str]:
    """The parameters of a function that have no default. Raises: BadTable."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = inspect.signature(rows).parameters.values()
    required = [parameter for parameter in parameters if parameter.default is inspect.Parameter.empty]
    names = [parameter.name for parameter in required if parameter.kind in kinds]
    keywords = [p.name for p in required if p.kind is inspect.Parameter.KEYWORD_ONLY]
    if len(names) > 2 or keywords:
        needs = ", ".join([*names, *keywords])
        raise BadTable(table, f"its function needs ({needs}) and is called with (start, end), (since) or nothing")
    return names


def _confirm(table: Table) -> None:
    """Raises: BadTable."""
    name = table.name
    if not name or PurePath(name).name != name or name.startswith((".", "_")):
        raise BadTable(name, "its name is not that of a folder")
    if not (table.rows is None or callable(table.rows) or isinstance(table.rows, SqlQuery)):
        raise BadTable(name, f"its rows are {type(table.rows).__name__}, neither a function nor a SqlQuery")
    try:
        ZoneInfo(table.timezone)
    except (ValueError, OSError, KeyError):
        raise BadTable(name, f"there is no time zone {table.timezone!r}") from None
    if table.every not in get_args(Every):
        raise BadTable(name, f'every={table.every!r} is neither "day" nor "hour"')
    if table.stamped and table.created_timestamp is not None:
        raise BadTable(name, "`stamped` rows get their created_timestamp here; name no column of the source for it")
    if table.first_day and table.after_last_day and table.first_day >= table.after_last_day:
        raise BadTable(name, f"its end, {table.after_last_day}, is not after its start, {table.first_day}")


def _day(table: str, name: str, value: date | str | None) -> date | None:
    """Raises: BadTable."""
    if not isinstance(value, str):
        return value
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise BadTable(table, f"{name}={value!r} is not a day, as 2024-01-31") from None
