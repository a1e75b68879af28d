"""The rows of a declared table: by its function or its query, in the shape that it and the feature views that read it declare.

Held by tests/cli/test_ingest.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from skewless.contract.errors import SkewlessError
from skewless.contract.value_types import ValueType, value_type
from skewless.definitions.repo_modules import failure
from skewless.offline.tables import row_batches, sql_rows
from skewless.offline.tables.ingest import IngestTable
from skewless.offline.tables.row_shape import IngestMismatch, RowShape
from skewless.offline.tables.row_versions import CREATED, EVENT, Combine, replaced
from skewless.project.table import BadTable, SqlQuery, Table
from skewless.settings.process_environment import variable
from skewless.state.position import Position

if TYPE_CHECKING:
    from skewless.definitions.compiled_views import CompiledView


@dataclass(eq=False)
class DatabaseNotSet(SkewlessError):
    """The environment variable that has the URL of a table's database is not set."""

    table: str
    variable: str

    def __str__(self) -> str:
        return (
            f"table {self.table!r} is read from the database whose URL is in the environment variable {self.variable}, "
            f"which is not set; set it, as {self.variable}=postgresql://user:password@host/database"
        )


def ingest_table(
    table: Table, repo: Path, views: Sequence[CompiledView] = (), combine: Combine = replaced
) -> IngestTable:
    """A table that is a function of days, or of nothing, as ingest takes it. `repo` is the folder of its declaration."""
    whole = table.extent == "all"
    return IngestTable(
        table.name,
        table.key_columns,
        partial(_of_days, table, repo),
        shape_of(table, views),
        combine,
        whole,
        origin(table),
    )


def new_rows(table: Table, repo: Path, since: Position, greatest: list[Position]) -> Iterator[pa.RecordBatch]:
    """What is new in a table since a position; the greatest position of the rows is left in `greatest`.

    Raises: BadTable, DatabaseNotSet, IngestMismatch, UnknownRows.
    """
    for batch in row_batches.batches(table.name, _call(table, repo, {"since": since})):
        if table.new_by not in batch.schema.names:
            raise BadTable(table.name, f"its rows lack the column {table.new_by!r}, by which they are new")
        value = pc.max(batch.column(table.new_by)).as_py()
        if value is not None:
            greatest[:] = [max(value, *greatest)] if greatest else [value]
        yield batch


def origin(table: Table) -> str:
    """What the rows come from, for messages."""
    return "its query" if isinstance(table.rows, SqlQuery) else "its function"


def implied_table(name: str, views: Sequence[CompiledView]) -> Table:
    """The table that feature views read and nobody declares: filled from files, with the views' keys and time columns."""
    plan, source = views[0].plan, views[0].source
    return Table(name, keys=[source.column(key.key) for key in plan.join_keys], event_timestamp=source.timestamp_field)


def shape_of(table: Table, views: Sequence[CompiledView]) -> RowShape:
    """The columns that a table's rows must have: as it declares them, else as the feature views that read it do."""
    names, required = dict(table.columns), list(table.columns.values())
    if table.event_timestamp != EVENT:
        names[table.event_timestamp] = EVENT
    if table.created_timestamp is not None:
        names[table.created_timestamp] = CREATED
        required.append(CREATED)
    types: dict[str, ValueType] = {}
    times: dict[str, str] = {}
    for view in views:
        types |= _view_types(view)
        times |= {view.source.timestamp_field: EVENT}
        created = view.source.created_timestamp_column
        if created and not table.stamped:
            times |= {created: CREATED}
            if table.created_timestamp is None and created != CREATED:
                names.setdefault(created, CREATED)
    types |= {name: value_type(str(kind), feature=name) for name, kind in table.types.items()}
    return RowShape(
        table.name, table.key_columns, names, types, table.timezone, tuple(required), times, stamped=table.stamped
    )


def _view_types(view: CompiledView) -> dict[str, ValueType]:
    plan, column = view.plan, view.source.column
    fields = [*((key.key, key.dtype) for key in plan.join_keys), *((field.name, field.dtype) for field in plan.fields)]
    types = {column(name): value_type(dtype, feature=name) for name, dtype in fields}
    return types | ({column(plan.deleted_field): value_type("Bool")} if plan.deleted_field else {})


def _of_days(table: Table, repo: Path, start: datetime, end: datetime) -> object:
    return _call(table, repo, {"start": start, "end": end})


def _call(table: Table, repo: Path, arguments: Mapping[str, Position]) -> object:
    """The rows of a table's query or function. Raises: DatabaseNotSet."""
    if isinstance(table.rows, SqlQuery):
        wanted = table.rows.parameters()
        parameters = {name: value for name, value in arguments.items() if name in wanted}
        return _query(table, table.rows, parameters, repo.parent)
    return _mapped(table, repo, *([] if table.extent == "all" else arguments.values()))


def _query(table: Table, query: SqlQuery, parameters: Mapping[str, Position], root: Path) -> Iterator[pa.RecordBatch]:
    if query.database is None:
        return sql_rows.duckdb_batches(table.name, query.sql, parameters, root=root, timezone=table.timezone)
    url = variable(query.database)
    if not url:
        raise DatabaseNotSet(table.name, query.database)
    return sql_rows.database_batches(table.name, query.sql, parameters, url)


def _mapped(table: Table, repo: Path, *arguments: object) -> Iterator[pa.RecordBatch]:
    """The batches of a table's function, which may be a generator. Errors of its own code name file and line.

    Raises: IngestMismatch, UnknownRows.
    """
    try:
        if callable(table.rows):
            yield from row_batches.batches(table.name, table.rows(*arguments))
    except SkewlessError:
        raise
    except Exception as error:  # whatever the project's function raises
        raise IngestMismatch(table.name, origin(table), failure(error, repo)) from error
