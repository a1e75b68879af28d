"""Fills a project's tables: by what they declare, by days or by what is new, or from files.

Held by tests/cli/test_ingest.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from skewless.contract.errors import SkewlessError
from skewless.offline.tables import file_rows, ingest
from skewless.offline.tables.day_partitions import DayWriteResult
from skewless.offline.tables.ingest import Checks, IngestTable
from skewless.offline.tables.row_shape import RowShape
from skewless.offline.tables.row_versions import CREATED, EVENT, Combine, MergedRows, StampedRows, replaced
from skewless.project.declared_tables import StartNotDeclared, UnknownTable
from skewless.project.table import Table
from skewless.project.table_rows import implied_table, ingest_table, new_rows, origin, shape_of
from skewless.runtime.progress import Report, quiet
from skewless.state.position import Position

if TYPE_CHECKING:
    from skewless.definitions.compiled_views import CompiledView
    from skewless.project.project import ProjectContext


@dataclass(eq=False)
class FilesNeeded(SkewlessError):
    """A table without a function or query was to be filled, and no file was given."""

    table: str

    def __str__(self) -> str:
        return f"table {self.table!r} is filled from files; run `skewless ingest {self.table} FILE...` (CSV, JSON Lines, Parquet)"


@dataclass(eq=False)
class FilledByItself(SkewlessError):
    """Files were given for a table that a function or query fills: its next run would remove their rows."""

    table: str

    def __str__(self) -> str:
        return (
            f"table {self.table!r} is filled by its own rows, which would replace those of a file; run `skewless ingest "
            f"{self.table} --start DAY --end DAY`, or declare another table for the files"
        )


@dataclass(frozen=True, slots=True)
class ProjectIngest:
    """One run over a project's tables at `now`, which stamps rows that bring no created time."""

    work: ProjectContext
    now: datetime
    checks: Checks

    def table(self, name: str) -> Table:
        """A declared table, or one that a feature view reads. Raises: UnknownTable, and what reading the declarations raises."""
        declared = self.work.tables
        if name in declared.by_name:
            return declared.by_name[name]
        views = _readers(self.work)
        if name not in views:
            raise UnknownTable(name, str(declared.path), tuple(dict.fromkeys([*declared.by_name, *views])))
        return implied_table(name, views[name])

    def run(
        self, tables: Sequence[Table], start: date | None = None, end: date | None = None, report: Report = quiet
    ) -> list[DayWriteResult]:
        """Fill tables: the days start <= UTC day < end (by default those that each declares) of those that are functions of
        days, all rows of those that are not, and what is new of those with `new_by`. One after the other.

        Raises: StartNotDeclared, FilesNeeded, DatabaseNotSet, LockBusy, UnknownRows, IngestMismatch, QualityRefused.
        """
        ranges = [self._range(table, start, end) for table in tables]
        views = _readers(self.work)
        results = []
        for number, (table, (first, last)) in enumerate(zip(tables, ranges, strict=True)):
            report(table.name, number, len(tables))
            with self.work.state.table_lock(self.work.project, table.name, "ingest"):
                results.append(self._filled(table, views.get(table.name, []), first, last))
        return results

    def _range(self, table: Table, start: date | None, end: date | None) -> tuple[date, date]:
        """The days to fill; of a table that has none, any. Raises: FilesNeeded, StartNotDeclared, BadTable."""
        if table.extent == "files":
            raise FilesNeeded(table.name)
        if table.extent != "range":
            return date.min, date.min
        first, last = start or table.first_day, end or table.after_last_day or tomorrow(self.now)
        if first is None:
            raise StartNotDeclared(table.name)
        return first, last

    def add_files(self, table: Table, files: Sequence[Path], names: Mapping[str, str]) -> DayWriteResult:
        """Put the rows of files to those of a table; the same file again adds nothing. `names` are the table's names of
        the files' columns that have others. Raises: FilledByItself, LockBusy, IngestMismatch, QualityRefused.
        """
        if table.extent != "files":
            raise FilledByItself(table.name)
        named = replace(table, columns={**table.columns, **names})
        shape = shape_of(named, _readers(self.work).get(table.name, []))
        target = IngestTable(
            table.name, table.key_columns, _nothing, shape, self._combine(table, MergedRows(table.key_columns))
        )
        with self.work.state.table_lock(self.work.project, table.name, "ingest"):
            return ingest.add(target, _of_files(shape, files), self._data, checks=self.checks)

    @property
    def _data(self) -> Path:
        return self.work.folders.data

    @property
    def _repo(self) -> Path:
        return self.work.settings.feature_repo

    def _merged(self, table: Table) -> Combine:
        return self._combine(table, MergedRows(table.key_columns))

    def _combine(self, table: Table, otherwise: Combine) -> Combine:
        return StampedRows(table.key_columns, self.now) if table.stamped else otherwise

    def _filled(self, table: Table, views: Sequence[CompiledView], start: date, end: date) -> DayWriteResult:
        if table.extent == "since":
            return self._new(table, shape_of(table, views))
        target = ingest_table(table, self._repo, views, self._combine(table, replaced))
        (result,) = ingest.run([target], self._data, start, end, checks=self.checks).tables
        return result

    def _new(self, table: Table, shape: RowShape) -> DayWriteResult:
        """Put what is new since the last run to the stored rows; the position moves when they are on the disk."""
        state, project = self.work.state, self.work.project
        since = state.position(project, table.name)
        since = table.new_from if since is None else since
        greatest: list[Position] = []
        batches = new_rows(table, self._repo, since, greatest)
        target = IngestTable(table.name, table.key_columns, _nothing, shape, self._merged(table))
        result = ingest.add(target, shape.fitted(batches, origin(table)), self._data, checks=self.checks)
        if greatest:
            state.move_position(project, table.name, greatest[0], at=self.now)
        return result


def _readers(work: ProjectContext) -> dict[str, list[CompiledView]]:
    """The feature views that read each table of the data folder."""
    readers: dict[str, list[CompiledView]] = {}
    for view in work.compiled():
        if view.source.remote is None and view.source.path.parent == work.folders.data:
            readers.setdefault(view.source.path.name, []).append(view)
    return readers


def _of_files(shape: RowShape, files: Sequence[Path]) -> Iterator[pa.RecordBatch]:
    source_names = {name: source for source, name in shape.names.items()}
    types = {source_names.get(name, name): kind for name, kind in shape.types.items()}
    times = [source_names.get(name, name) for name in ((EVENT,) if shape.stamped else (EVENT, CREATED))]
    times += [name for name, kind in types.items() if kind.name == "UnixTimestamp"]
    for file in files:
        yield from shape.fitted(file_rows.batches(shape.table, file, types, times), str(file))


def tomorrow(now: datetime) -> date:
    """The UTC day after that of `now`, which ends a history that is still growing."""
    return (now + timedelta(days=1)).date()


def _nothing(start: datetime, end: datetime) -> object:
    del start, end
    return []
