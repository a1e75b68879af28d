"""Events in files: one, those of a glob or all of a folder, plain or compressed, as CSV, Parquet or JSON Lines.

Held by tests/scaffold/test_event_files.py.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb

from skewless.offline.tables.sql_rows import duckdb_connection, first_line
from skewless.scaffold.event_source import SAMPLED, EventsUnreadable, Row, select

_LINES = "format='newline_delimited', sample_size=-1"
_READERS = {
    ".csv": ("read_csv", "sample_size=-1"),
    ".tsv": ("read_csv", "sample_size=-1"),
    ".parquet": ("read_parquet", ""),
    ".jsonl": ("read_json", _LINES),
    ".ndjson": ("read_json", _LINES),
}
_COMPRESSED = (".gz", ".zst")
_KNOWN = f"{', '.join(_READERS)}, the texts also with {' or '.join(_COMPRESSED)}"
_SNIFFED_WHOLE = 64 << 20
"""Bytes of files whose types are taken from every row; of more, from the first SAMPLED rows."""
_WILD = re.compile(r"[*?\[]")
_NO_ROWS = "it has no rows"


@dataclass(frozen=True, slots=True)
class EventFiles:
    """Files of one format; `patterns` are their absolute paths or addresses for DuckDB, which may have wildcards."""

    title: str
    stem: str
    patterns: Sequence[str]
    format: str
    size: int

    def reader(self, patterns: Sequence[str] | None = None, *, exact: bool = True) -> str:
        """A call of DuckDB's reader. Where it is `exact` all rows decide the types of texts."""
        function, options = _READERS[self.format]
        options = options if exact else options.replace("sample_size=-1", f"sample_size={SAMPLED}")
        quoted = ["'" + pattern.replace("'", "''") + "'" for pattern in patterns or self.patterns]
        several = len(quoted) > 1 or bool(_WILD.search(quoted[0]))
        arguments = [quoted[0] if len(quoted) == 1 else f"[{', '.join(quoted)}]", options]
        return f"{function}({', '.join(filter(None, [*arguments, 'union_by_name=true' if several else '']))})"

    def written(self, folder: Path) -> str:
        """The reader for a project's `folder`, by relative paths where the files lie in the place that the folder is in."""
        parent = folder.resolve().parent

        def relative(pattern: str) -> str:
            inside = "://" not in pattern and Path(pattern).is_relative_to(parent)
            return os.path.relpath(pattern, folder.resolve()) if inside else pattern

        return self.reader([relative(pattern) for pattern in self.patterns])

    @contextmanager
    def opened(self) -> Iterator[SampledFiles]:
        """The events to look at. Raises: EventsUnreadable."""
        exact = self.size <= _SNIFFED_WHOLE
        with self._mapped(), duckdb_connection(self.reader(), root=Path.cwd(), timezone="UTC") as connection:
            try:
                sampled = self._sampled(connection, exact=exact)
            except duckdb.ConversionException:
                sampled = self._sampled(connection, exact=True)
            yield sampled

    def _sampled(self, connection: duckdb.DuckDBPyConnection, *, exact: bool) -> SampledFiles:
        reader = self.reader(exact=exact)
        sampled = f"SELECT * FROM {reader} USING SAMPLE reservoir({SAMPLED} ROWS) REPEATABLE (7)"  # noqa: S608 - the paths are quoted
        connection.execute(f"CREATE OR REPLACE TEMP TABLE sampled AS {sampled}")
        kinds = [(str(row[0]), str(row[1])) for row in connection.execute("DESCRIBE sampled").fetchall()]
        rows = connection.execute("SELECT count(*) FROM sampled").fetchall()[0][0]
        if not rows:
            raise EventsUnreadable(self.title, f"{_NO_ROWS}; its columns are {', '.join(name for name, _ in kinds)}")
        return SampledFiles(self.title, self.stem, kinds, connection, "sampled" if rows < SAMPLED else reader)

    @contextmanager
    def _mapped(self) -> Iterator[None]:
        try:
            yield
        except duckdb.Error as error:
            raise EventsUnreadable(self.title, first_line(error)) from error
        except (ImportError, OSError) as error:
            raise EventsUnreadable(self.title, f"its storage does not open ({type(error).__name__})") from error


@dataclass(frozen=True, slots=True)
class SampledFiles:
    """Files as an `EventSource`: a sample of their rows is in a table of the connection."""

    title: str
    stem: str
    kinds: Sequence[tuple[str, str]]
    connection: duckdb.DuckDBPyConnection
    relation: str
    distinct: str = "approx_count_distinct({})"

    def sampled(self, values: Sequence[str], rest: str = "") -> Row:
        return self._row(select(values, "sampled", rest))

    def all(self, values: Sequence[str], rest: str = "") -> Row:
        return self._row(select(values, self.relation, rest))

    def _row(self, sql: str) -> Row:
        row: Row = self.connection.execute(sql).fetchall()[0]
        return row


def event_files(place: str) -> EventFiles:
    """The files that a path, a folder, a glob or an address in object storage names. Raises: EventsUnreadable."""
    if "://" in place:
        return EventFiles(place, _stem(place), [place], _format(place, place), 0)
    path = Path(place)
    if path.is_dir():
        return _of_folder(path.resolve())
    if path.is_file():
        return EventFiles(
            str(path.resolve()), _stem(path.name), [str(path.resolve())], _format(path.name, place), path.stat().st_size
        )
    if not _WILD.search(place):
        variable = ", nor is an environment variable of that name set to a URL" if place.isidentifier() else ""
        raise EventsUnreadable(place, f"there is no such file or folder{variable}")
    pattern = str(Path.cwd() / path)
    files = [file for file in Path(path.anchor or ".").glob(str(path.relative_to(path.anchor))) if file.is_file()]
    formats = {_format(file.name, place) for file in files}
    if len(formats) != 1:
        found = f"files of {' and '.join(sorted(formats))}" if formats else "no file"
        raise EventsUnreadable(place, f"it names {found}; it may name files of one of {_KNOWN}")
    size = sum(file.stat().st_size for file in files)
    plain = next((part for part in reversed(path.parts) if not _WILD.search(part)), "events")
    return EventFiles(pattern, _stem(plain), [pattern], formats.pop(), size)


def _of_folder(folder: Path) -> EventFiles:
    suffixes: dict[str, str] = {}
    size = 0
    for file in sorted(folder.rglob("*")):
        suffix = _suffix(file.name)
        if suffix and file.is_file():
            inside = file.relative_to(folder)
            if any(part.startswith((".", "_")) for part in inside.parts):
                # DuckDB reads it with the others: a notebook's checkpoint of a file would count its rows twice.
                mend = "move it away, or name the files by a glob, as 'logs/*.csv'"
                raise EventsUnreadable(
                    str(folder), f"{inside} is hidden or a program's own, and would be read too; {mend}"
                )
            suffixes[suffix] = _plain(suffix)
            size += file.stat().st_size
    if len(set(suffixes.values())) != 1:
        here = f"{' and '.join(sorted(set(suffixes.values())))} files" if suffixes else "none"
        raise EventsUnreadable(str(folder), f"it should have files of one of {_KNOWN}, and has {here}")
    patterns = [f"{folder}/**/*{suffix}" for suffix in suffixes]
    return EventFiles(str(folder), _stem(folder.name), patterns, next(iter(suffixes.values())), size)


def _suffix(name: str) -> str:
    """The ending of a name that says what the file holds, as `.csv.gz`; empty for other names."""
    endings = [suffix for ending in _READERS for suffix in (ending, *(ending + packed for packed in _COMPRESSED))]
    return next((name[-len(ending) :] for ending in endings if name.lower().endswith(ending)), "")


def _plain(suffix: str) -> str:
    """The ending without that of its compression."""
    suffix = suffix.lower()
    for packed in _COMPRESSED:
        suffix = suffix.removesuffix(packed)
    return suffix


def _format(name: str, place: str) -> str:
    """Raises: EventsUnreadable."""
    suffix = _suffix(name)
    if not suffix or (_plain(suffix) == ".parquet" and suffix.lower() != ".parquet"):
        raise EventsUnreadable(place, f"its name does not say what it holds; it may end in {_KNOWN}")
    return _plain(suffix)


def _stem(name: str) -> str:
    return name.rstrip("/").rpartition("/")[2].partition(".")[0] or "events"
