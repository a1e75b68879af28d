"""Events in a PostgreSQL database: a table or a query, by the door that `SqlQuery` reads databases through.

The URL, which may have a password, comes from an environment variable and is in no made file and no message.

Held by tests/scaffold/test_event_database.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import pyarrow as pa
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from skewless.contract.errors import SkewlessError
from skewless.offline.tables.row_shape import IngestMismatch
from skewless.offline.tables.sql_rows import database_batches
from skewless.runtime.errors import did_you_mean
from skewless.runtime.settings import POSTGRESQL
from skewless.scaffold.event_columns import quoted_name
from skewless.scaffold.event_source import SAMPLED, EventsUnreadable, Row, select
from skewless.settings.process_environment import variable

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_DATABASES = {*POSTGRESQL, "mysql", "mariadb", "sqlite", "mssql", "oracle", "snowflake", "bigquery", "duckdb"}
_QUERY = re.compile(r"\s*(select|with|from)\s", re.IGNORECASE)
_TABLES = (
    "SELECT table_schema, table_name FROM information_schema.tables "
    "WHERE table_schema NOT IN ('pg_catalog', 'information_schema') ORDER BY table_schema <> 'public', 1, 2"
)


@dataclass(eq=False)
class BadDatabaseUrl(SkewlessError):
    """The address of a database that `init` does not read; the address itself is in no message."""

    reason: str

    def __str__(self) -> str:
        return f"the events are in a database that cannot be read: {self.reason}"


@dataclass(eq=False)
class TableNotChosen(SkewlessError):
    """A database has several tables, or none, or not the one that was named."""

    database: str
    named: str
    known: tuple[str, ...]

    def __str__(self) -> str:
        has = f"has {', '.join(self.known)}" if self.known else "has no tables"
        if self.named:
            return f"{self.database} has no table {self.named!r}; {did_you_mean(self.named, self.known)}it {has}"
        return f"{self.database} {has}; name the one of the events as `table`, or a SELECT"


@dataclass(frozen=True, slots=True)
class EventDatabase:
    """A database: its `url`, the environment variable that a project will read it from, and what of it are the events."""

    url: str
    variable: str
    table: str | None

    @property
    def title(self) -> str:
        url = make_url(self.url)
        return f"postgresql://{url.host or ''}{f':{url.port}' if url.port else ''}/{url.database or ''}"

    @contextmanager
    def opened(self) -> Iterator[DatabaseEvents]:
        """The events to look at. Raises: EventsUnreadable, TableNotChosen."""
        relation, stem = self.chosen()
        one = f"FROM (SELECT 1) AS one LEFT JOIN (SELECT * FROM {relation} LIMIT 1) AS events ON true"  # noqa: S608 - quoted
        names = self.names(f"SELECT events.* {one}")
        types = ", ".join(
            f"CAST(pg_typeof(events.{quoted_name(name)}) AS text) AS c{n}" for n, name in enumerate(names)
        )
        (kinds,) = self.rows(f"SELECT {types} {one}")
        kinds_by_name = list(zip(names, map(str, kinds), strict=True))
        yield DatabaseEvents(f"{stem} of {self.title}", stem, kinds_by_name, relation, self)

    def names(self, sql: str) -> list[str]:
        """The columns of a query that has rows. Raises: EventsUnreadable."""
        return list(self._batches(sql)[0].schema.names)

    def rows(self, sql: str) -> list[Row]:
        """The rows of a query. Raises: EventsUnreadable."""
        return [tuple(row.values()) for batch in self._batches(sql) for row in batch.to_pylist()]

    def _batches(self, sql: str) -> list[pa.RecordBatch]:
        try:
            return list(database_batches("events", sql, {}, self.url))
        except IngestMismatch as error:
            raise EventsUnreadable(self.title, error.reason) from None

    @property
    def relation(self) -> str:
        """What is read, as SQL. Raises: EventsUnreadable, TableNotChosen."""
        return self.chosen()[0]

    def chosen(self) -> tuple[str, str]:
        """What is read, as SQL, and what its table may be called. Raises: TableNotChosen."""
        if self.table is not None and _QUERY.match(self.table):
            return f"({self.table.strip().rstrip(';')}) AS events", "events"
        tables = {
            (str(name) if schema == "public" else f"{schema}.{name}"): (str(schema), str(name))
            for schema, name in self.rows(_TABLES)
        }
        if self.table is None and len(tables) != 1:
            raise TableNotChosen(self.title, "", tuple(tables))
        name = self.table or next(iter(tables))
        name = name.removeprefix("public.")
        if name not in tables:
            raise TableNotChosen(self.title, name, tuple(tables))
        schema, table = tables[name]
        return ".".join(map(quoted_name, (schema, table) if schema != "public" else (table,))), table


@dataclass(frozen=True, slots=True)
class DatabaseEvents:
    """A table or query as an `EventSource`."""

    title: str
    stem: str
    kinds: Sequence[tuple[str, str]]
    relation: str
    database: EventDatabase
    distinct: str = "count(DISTINCT {})"

    def sampled(self, values: Sequence[str], rest: str = "") -> Row:
        return self._row(select(values, f"(SELECT * FROM {self.relation} LIMIT {SAMPLED}) AS sampled", rest))  # noqa: S608 - quoted

    def all(self, values: Sequence[str], rest: str = "") -> Row:
        return self._row(select(values, self.relation, rest))

    def _row(self, sql: str) -> Row:
        rows = self.database.rows(sql)
        if not rows:
            raise EventsUnreadable(self.title, "it has no rows")
        return rows[0]


def event_database(place: str, project: str, table: str | None) -> EventDatabase | None:
    """The database that a URL without a password, or an environment variable with a URL, names; None for another place.

    `project` is Feast's name of the project that will read it. Raises: BadDatabaseUrl.
    """
    named = _VARIABLE.fullmatch(place) and variable(place)
    if named and "://" in named:
        return EventDatabase(_postgresql(named, place), place, table)
    scheme = place.partition("://")[0].partition("+")[0]
    if "://" not in place or scheme not in _DATABASES:
        return None
    name = f"{project.upper()}_DATABASE_URL"
    url = _postgresql(place, name)
    if make_url(url).password is not None or make_url(url).query:
        raise BadDatabaseUrl(
            "a URL with a password or options stays in the shell's history; put it into an environment variable and give "
            f"its name: `export {name}=postgresql://...`, then {name} for the events"
        )
    return EventDatabase(variable(name) or url, name, table)


def _postgresql(url: str, name: str) -> str:
    """Raises: BadDatabaseUrl."""
    try:
        scheme = make_url(url).drivername
    except ArgumentError:
        raise BadDatabaseUrl(f"{name} has no URL, as postgresql://user:password@host/database") from None
    if POSTGRESQL.get(scheme, scheme).partition("+")[0] != "postgresql":
        raise BadDatabaseUrl(
            f"it is {scheme.partition('+')[0]}, and `init` infers from postgresql:// alone; start from an exported file, then "
            f"read the database in tables.py by `SqlQuery(sql, database={name!r})`, which takes what SQLAlchemy opens"
        )
    return url
