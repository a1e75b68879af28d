"""The tables that a project declares in the module `tables` beside its definitions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from skewless.contract.errors import SkewlessError
from skewless.definitions import repo_modules
from skewless.project.table import BadTable, Table
from skewless.runtime.errors import did_you_mean

MODULE = "tables"


@dataclass(eq=False)
class TablesNotDeclared(SkewlessError):
    """The project declares no table that could be filled."""

    path: str

    def __str__(self) -> str:
        return (
            f"{self.path} declares no tables; write it, with `from skewless.project import Table` and below "
            '`@Table("orders", keys="customer")` a function of (start, end) that returns the rows, or fill a table from '
            "files: `skewless ingest TABLE FILE...`"
        )


@dataclass(eq=False)
class UnknownTable(SkewlessError):
    """A table is neither declared nor read by a feature view; `known` are those that are."""

    table: str
    path: str
    known: tuple[str, ...]

    def __str__(self) -> str:
        listed = f"there are {', '.join(self.known)}" if self.known else "there is none"
        return (
            f"table {self.table!r} is neither declared in {self.path} nor read by an applied feature view; "
            f"{did_you_mean(self.table, self.known)}{listed}"
        )


@dataclass(eq=False)
class StartNotDeclared(SkewlessError):
    """All days of a table are to be ingested, and the table does not declare the first."""

    table: str

    def __str__(self) -> str:
        return (
            f'table {self.table!r} declares no first day; write start="2024-01-01" into its Table, or give the `start`'
        )


@dataclass(frozen=True, slots=True)
class DeclaredTables:
    """The declared tables by name, in their order in the module at `path`."""

    path: Path
    by_name: dict[str, Table] = field(default_factory=dict)

    def filled(self) -> list[Table]:
        """The tables that are filled by a function or a query. Raises: TablesNotDeclared, BadTable."""
        tables = [table for table in self.by_name.values() if table.extent != "files"]
        if not tables:
            raise TablesNotDeclared(str(self.path))
        return tables

    def days(self) -> tuple[date, date]:
        """The days of those tables that declare a first and a last one. Raises: StartNotDeclared."""
        tables = list(self.by_name.values())
        firsts = [table.first_day for table in tables if table.first_day]
        lasts = [table.after_last_day for table in tables if table.after_last_day]
        if not firsts or not lasts:
            raise StartNotDeclared(tables[0].name if tables else str(self.path))
        return min(firsts), max(lasts)


def read(repo: Path) -> DeclaredTables:
    """The declared tables of a feature repository; none where it has no module `tables`.

    Raises: RepoModuleFailed, BadTable, and the SkewlessErrors of the module.
    """
    module = repo_modules.load(repo, MODULE)
    path = repo / f"{MODULE}.py"
    if module is None:
        return DeclaredTables(path)
    path = Path(module.__file__) if module.__file__ else repo / MODULE
    tables: dict[str, Table] = {}
    for table in _tables(value for name, value in vars(module).items() if not name.startswith("_")):
        if tables.setdefault(table.name, table) is not table:
            raise BadTable(table.name, f"two tables of {path} have this name")
    return DeclaredTables(path, tables)


def _tables(values: Iterable[object]) -> Iterator[Table]:
    for value in values:
        if isinstance(value, Table):
            yield value
        elif isinstance(value, list | tuple):
            yield from (item for item in value if isinstance(item, Table))
