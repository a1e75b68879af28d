"""An entity frame in SQL: one SELECT over the project's tables, run by DuckDB, which may read nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.dataset as ds

from skewless.feast.errors import EntityQueryRefused
from skewless.feast.source_rows import schema_of
from skewless.offline.tables.source import TableSource

if TYPE_CHECKING:
    import duckdb

_ALONE = {
    "enable_external_access": "false",
    "python_enable_replacements": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
}


def rows_of(query: str, tables: Mapping[str, TableSource]) -> pa.Table:
    """The rows of `query`, whose tables are those of `tables` by name, with the columns that their files have.

    Times without a zone are UTC; nanoseconds are cut to microseconds, in which DuckDB can count.
    Raises: EntityQueryRefused for anything but one SELECT, and with DuckDB's words where that fails.
    """
    import duckdb  # noqa: PLC0415 - 16 MB that a frame of rows goes without

    with duckdb.connect(config=dict(_ALONE)) as database:
        try:
            statements = database.extract_statements(query)
            if [one.type for one in statements] != [duckdb.StatementType.SELECT]:
                raise EntityQueryRefused("it is not one SELECT", tuple(sorted(tables)))
            database.execute("SET TimeZone = 'UTC'")
            asked = query.casefold()
            for place, (name, source) in enumerate(tables.items()):
                if name.casefold() in asked:
                    _offer(database, f"table_{place}", name, source)
            database.execute("SET lock_configuration = true")
            return database.sql(query).to_arrow_table()
        except duckdb.Error as error:
            raise EntityQueryRefused(str(error), tuple(sorted(tables))) from error


def _offer(database: duckdb.DuckDBPyConnection, alias: str, name: str, source: TableSource) -> None:
    schema = schema_of(source)
    database.register(alias, ds.dataset([str(file) for file in source.files()], format="parquet", schema=schema))
    fine = [one.name for one in schema if pa.types.is_timestamp(one.type) and one.type.unit == "ns"]
    cut = ", ".join(f"CAST({_quoted(one)} AS TIMESTAMPTZ) AS {_quoted(one)}" for one in fine)
    columns = f"* REPLACE ({cut})" if cut else "*"
    database.execute(f"CREATE VIEW {_quoted(name)} AS SELECT {columns} FROM {alias}")  # noqa: S608 - quoted names


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
