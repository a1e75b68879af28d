"""What a file of events says of itself, by DuckDB's readers: its columns, and which of them are key, time and label.

Held by tests/scaffold/test_events.py.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from skewless.contract.errors import SkewlessError
from skewless.runtime.errors import did_you_mean
from skewless.scaffold.names import identifier

_READERS = {
    ".csv": "read_csv({}, sample_size=-1, union_by_name=true)",
    ".parquet": "read_parquet({}, union_by_name=true)",
    ".jsonl": "read_json({}, format='newline_delimited', sample_size=-1, union_by_name=true)",
    ".ndjson": "read_json({}, format='newline_delimited', sample_size=-1, union_by_name=true)",
}
_TYPES = {
    **dict.fromkeys(("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER"), "Int64"),
    **dict.fromkeys(("FLOAT", "DOUBLE", "DECIMAL"), "Float64"),
    "BOOLEAN": "Bool",
    **dict.fromkeys(("VARCHAR", "UUID", "ENUM"), "String"),
    **dict.fromkeys(("DATE", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE"), "UnixTimestamp"),
    **dict.fromkeys(("TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS"), "UnixTimestamp"),
}
ROWS = "$rows"
_KEY_NAME = re.compile(r"(^|_)(id|key|no|number|code)$")
_TIME_NAME = re.compile(r"^(event_)?(time|timestamp)$|^ts$|_at$")


@dataclass(eq=False)
class EventsUnreadable(SkewlessError):
    """The file or folder of events cannot be read."""

    path: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path} cannot be read: {self.reason}"


@dataclass(eq=False)
class BadEventColumn(SkewlessError):
    """A column of a file of events is missing, cannot be inferred, or cannot be what it should be; `option` names it."""

    path: str
    option: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}; give {self.option} COLUMN"


@dataclass(frozen=True, slots=True)
class EventColumn:
    """A column: its name in the file, DuckDB's type, Feast's (empty: none), and how many values, distinct and not null."""

    name: str
    kind: str
    dtype: str
    distinct: int
    present: int

    @property
    def sql(self) -> str:
        return '"' + self.name.replace('"', '""') + '"'

    @property
    def numbers_rows(self) -> bool:
        """Whether it is a key of the rows themselves, as an order number: (nearly) every row has another."""
        return bool(_KEY_NAME.search(identifier(self.name))) and self.distinct > 0.9 * self.present


@dataclass(frozen=True, slots=True)
class EventsFile:
    """A file, or all files of a folder; `pattern` is the path for DuckDB's `reader`."""

    path: Path
    pattern: str
    reader: str
    rows: int
    columns: Sequence[EventColumn]

    def column(self, name: str, option: str) -> EventColumn:
        """Raises: BadEventColumn."""
        known = {column.name: column for column in self.columns}
        if name not in known:
            meant = did_you_mean(name, known)
            raise BadEventColumn(str(self.path), option, f"it has no column {name!r}; {meant}it has {', '.join(known)}")
        return known[name]

    def time(self, name: str | None) -> tuple[EventColumn, list[str]]:
        """The column of the events' times, and the others that could be it. Raises: BadEventColumn."""
        times = [column for column in self.columns if column.dtype == "UnixTimestamp" and column.present]
        if name is not None:
            column = self.column(name, "--time")
            if column not in times:
                raise BadEventColumn(str(self.path), "--time", f"{name!r} is {column.kind}, and holds no times")
            return column, []
        if not times:
            raise BadEventColumn(str(self.path), "--time", "no column holds times")
        times.sort(key=lambda column: not _TIME_NAME.search(identifier(column.name)))
        return times[0], [column.name for column in times[1:]]

    def entity(self, name: str | None, label: str | None) -> tuple[EventColumn, list[str]]:
        """The column of the entity's key, and the others that could be it. Raises: BadEventColumn."""
        if name is not None:
            column = self.column(name, "--entity")
            if column.dtype not in ("Int64", "String"):
                raise BadEventColumn(str(self.path), "--entity", f"{name!r} is {column.kind}, neither whole nor text")
            return column, []
        keys = [
            column
            for column in self.columns
            if column.dtype in ("Int64", "String")
            and column.name != label
            and _KEY_NAME.search(identifier(column.name))
            and column.present
            and not column.numbers_rows
        ]
        if not keys:
            names = ", ".join(column.name for column in self.columns)
            reason = f"no column has a name as customer_id and values that come again; it has {names}"
            raise BadEventColumn(str(self.path), "--entity", reason)
        return keys[0], [column.name for column in keys[1:]]

    def select(self, sql: str) -> tuple[object, ...]:
        """The one row of a query, in which `ROWS` stands for the rows. Raises: EventsUnreadable."""
        return _query(self.path, sql.replace(ROWS, source(self.reader, self.pattern)))[0]


def source(reader: str, pattern: str) -> str:
    """A call of DuckDB's reader."""
    return reader.format("'" + pattern.replace("'", "''") + "'")


def read(path: Path) -> EventsFile:
    """Raises: EventsUnreadable."""
    path = path.resolve()
    pattern, suffix = _pattern(path)
    reader = _READERS[suffix]
    rows = source(reader, pattern)
    kinds = [(str(row[0]), str(row[1])) for row in _query(path, f"DESCRIBE FROM {rows}")]
    names = ['"' + name.replace('"', '""') + '"' for name, _ in kinds]
    counts = ", ".join(f"approx_count_distinct({name}), count({name})" for name in names)
    found = _query(path, f"SELECT count(*), {counts} FROM {rows}")[0]  # noqa: S608 - names are quoted
    numbers = [int(str(value)) for value in found]
    if not numbers[0]:
        raise EventsUnreadable(str(path), "it has no rows")
    columns = [
        EventColumn(name, kind, _TYPES.get(kind.partition("(")[0], ""), numbers[1 + 2 * n], numbers[2 + 2 * n])
        for n, (name, kind) in enumerate(kinds)
    ]
    return EventsFile(path, pattern, reader, numbers[0], columns)


def _pattern(path: Path) -> tuple[str, str]:
    """What DuckDB reads, and the ending that says how. Raises: EventsUnreadable."""
    known = ", ".join(_READERS)
    if path.is_dir():
        found = {file.suffix for file in path.rglob("*") if file.suffix in _READERS}
        if len(found) != 1:
            here = f"{' and '.join(sorted(found))} files" if found else "none"
            raise EventsUnreadable(str(path), f"it should have files of one of {known}, and has {here}")
        suffix = found.pop()
        return f"{path}/**/*{suffix}", suffix
    if not path.is_file():
        raise EventsUnreadable(str(path), "there is no such file or folder")
    if path.suffix not in _READERS:
        raise EventsUnreadable(str(path), f"its name does not say what it holds; it may end in {known}")
    return str(path), path.suffix


def _query(path: Path, sql: str) -> list[tuple[object, ...]]:
    try:
        with duckdb.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'")
            return connection.execute(sql).fetchall()
    except duckdb.Error as error:
        raise EventsUnreadable(str(path), str(error).strip().splitlines()[0]) from error
