"""An entity frame given as SQL: one SELECT over the project's tables, run by DuckDB without access to anything else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.dataset as ds

from skewless.feast.errors import EntityQueryRefused
from skewless.offline.tables.source import TableSource
from skewless.offline.tables.view_rows import newest_schema

if TYPE_CHECKING:
    import duckdb

_SANDBOX = {
    "enable_external_access": "false",
    "python_enable_replacements": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
}


def run_query(query: str, tables: Mapping[str, TableSource]) -> pa.Table:
    """The result of `query`, which may name the tables of `tables`; their columns are those of the files.

    Times without a zone are UTC; nanoseconds are truncated to microseconds, DuckDB's unit.
    Raises: EntityQueryRefused for anything but one SELECT, and with DuckDB's message where it fails.
    """
    import duckdb  # noqa: PLC0415 - 16 MB, needed for SQL only

    with duckdb.connect(config=dict(_SANDBOX)) as database:
        try:
            statements = database.extract_statements(query)
            if [statement.type for statement in statements] != [duckdb.StatementType.SELECT]:
                raise EntityQueryRefused("it is not one SELECT", tuple(sorted(tables)))
            database.execute("SET TimeZone = 'UTC'")
            text = query.casefold()
            for number, (name, source) in enumerate(tables.items()):
                if name.casefold() in text:
                    _create_view(database, f"table_{number}", name, source)
            database.execute("SET lock_configuration = true")
            return database.sql(query).to_arrow_table()
        except duckdb.Error as error:
            raise EntityQueryRefused(str(error), tuple(sorted(tables))) from error


def _create_view(database: duckdb.DuckDBPyConnection, alias: str, name: str, source: TableSource) -> None:
    schema = newest_schema(source)
    database.register(alias, ds.dataset([str(file) for file in source.files()], format="parquet", schema=schema))
    nanos = [field.name for field in schema if pa.types.is_timestamp(field.type) and field.type.unit == "ns"]
    casts = ", ".join(f"CAST({_quoted(column)} AS TIMESTAMPTZ) AS {_quoted(column)}" for column in nanos)
    columns = f"* REPLACE ({casts})" if casts else "*"
    database.execute(f"CREATE VIEW {_quoted(name)} AS SELECT {columns} FROM {alias}")  # noqa: S608 - quoted names


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
