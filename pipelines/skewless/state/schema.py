"""The tables of the state database.

Held by tests/state/test_database.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    DateTime,
    Dialect,
    Engine,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    insert,
    select,
    text,
)
from sqlalchemy.schema import CreateIndex, CreateTable

from skewless.contract.errors import SkewlessError
from skewless.state.run_history import SCHEMA_VERSION

# An arbitrary number: the PostgreSQL advisory lock for processes that create the tables at the same time.
_CREATION_LOCK = 5_318_008_061


@dataclass(eq=False)
class StateSchemaDiffers(SkewlessError):
    """Another version of Skewless made the state database."""

    version: int

    def __str__(self) -> str:
        return (
            f"the state database has schema version {self.version} and this Skewless knows version {SCHEMA_VERSION}; use the "
            "Skewless that made it, or name a new database in SKEWLESS_STATE_URL"
        )


class UtcDateTime(TypeDecorator[datetime]):
    """Aware UTC as argument and result; SQLite stores it naive, as text that sorts like the times."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value.isoformat()} has no time zone; give an aware time")
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if dialect.name == "sqlite" else value.astimezone(UTC)


metadata = MetaData()

schema_version = Table("skewless_schema", metadata, Column("version", Integer, primary_key=True, autoincrement=False))

watermarks = Table(
    "watermarks",
    metadata,
    Column("project", String(255), primary_key=True),
    Column("view", String(255), primary_key=True),
    Column("watermark", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
)

newest_events = Table(
    "newest_events",
    metadata,
    Column("project", String(255), primary_key=True),
    Column("view", String(255), primary_key=True),
    Column("newest_event", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
)

positions = Table(
    "positions",
    metadata,
    Column("project", String(255), primary_key=True),
    Column("table", String(255), primary_key=True),
    Column("position", Text, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
)

runs = Table(
    "runs",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("project", String(255), nullable=False),
    Column("view", String(255), nullable=False),
    Column("verb", String(64), nullable=False),
    Column("window_start", UtcDateTime),
    Column("window_end", UtcDateTime, nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("finished_at", UtcDateTime),
    Column("status", String(16), nullable=False),
    Column("rows_read", BigInteger, nullable=False, default=0),
    Column("rows_written", BigInteger, nullable=False, default=0),
    Column("rows_skipped_older", BigInteger, nullable=False, default=0),
    Column("rows_held_back", BigInteger, nullable=False, default=0),
    Column("error", Text),
    Index("runs_by_view", "project", "view", "id"),
)

definitions = Table(
    "view_definitions",
    metadata,
    Column("project", String(255), primary_key=True),
    Column("stored_as", String(255), primary_key=True),
    Column("digest", String(64), primary_key=True),
    Column("view", String(255), nullable=False),
    Column("definition", Text, nullable=False),
    Column("applied_at", UtcDateTime, nullable=False),
    Column("removed_at", UtcDateTime),
)

applied = Table(
    "applied_definitions",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("project", String(255), nullable=False),
    Column("applied_at", UtcDateTime, nullable=False),
    Column("applied_by", String(255), nullable=False),
    Column("objects", Text, nullable=False),
    Index("applied_by_project", "project", "id"),
)


def create(engine: Engine) -> None:
    """Create the missing tables and indexes; several processes may do so at the same time.

    Raises:
        StateSchemaDiffers: the tables have another schema version.
    """
    with engine.connect() as connection:
        _begin_exclusive(connection)
        for table in metadata.sorted_tables:
            connection.execute(CreateTable(table, if_not_exists=True))
            for index in table.indexes:
                connection.execute(CreateIndex(index, if_not_exists=True))
        version = connection.execute(select(schema_version.c.version)).scalar_one_or_none()
        if version is None:
            connection.execute(insert(schema_version).values(version=SCHEMA_VERSION))
        connection.commit()
    if version not in (None, SCHEMA_VERSION):
        raise StateSchemaDiffers(version)


def _begin_exclusive(connection: Connection) -> None:
    """Begin a transaction that excludes other creators: with `IF NOT EXISTS` alone PostgreSQL fails the loser of a race with a
    duplicate key.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _CREATION_LOCK})
    else:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
