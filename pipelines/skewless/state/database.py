"""The state database: arrival watermarks, newest events, positions of incremental tables, and runs.

Times are aware UTC as arguments and in results, whatever type the database stores. Nothing here reads the clock.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import Column, Connection, Row, Table, create_engine, delete, insert, make_url, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import InterfaceError, OperationalError

from skewless.contract.errors import SkewlessError
from skewless.contract.redis_urls import masked
from skewless.state import schema
from skewless.state import sqlite as shared_sqlite
from skewless.state.locks import WAIT, database_lock
from skewless.state.position import Position, decode_position, encode_position
from skewless.state.run_history import RunCounts, RunStatus, StateUnreachable, VerbRun
from skewless.state.schema import newest_events, positions, runs, watermarks


@dataclass(eq=False)
class RunNotRunning(SkewlessError):
    """The run to finish is not running: its id is unknown, or it was finished before."""

    run: int

    def __str__(self) -> str:
        return f"run {self.run} is not running: it is unknown or was finished before; start a new one"


class StateDatabase:
    """Watermarks, newest events, positions and runs. One instance per process; threads may share it."""

    def __init__(self, url: str) -> None:
        """Open the database and create its tables where they are missing.

        Raises:
            StateUnreachable: no such server, wrong password.
            StateSchemaDiffers: another version of Skewless made the tables.
        """
        self._url = masked(url)
        place = make_url(url)
        if place.get_backend_name() == "sqlite" and place.database:
            Path(place.database).parent.mkdir(parents=True, exist_ok=True)
        self._engine = shared_sqlite.share(create_engine(place))
        try:
            schema.create(self._engine)
        except OperationalError as error:
            raise StateUnreachable(self._url, str(error.orig)) from error
        finally:
            # The next use opens new connections; if this constructor raises, none stays open.
            self._engine.dispose()

    def close(self) -> None:
        self._engine.dispose()

    @contextmanager
    def connected(self, *, write: bool = False) -> Iterator[Connection]:
        """A connection; with `write` in a transaction. Raises: StateUnreachable."""
        try:
            with self._engine.begin() if write else self._engine.connect() as connection:
                yield connection
        except (OperationalError, InterfaceError) as error:
            raise StateUnreachable(self._url, str(error.orig)) from error

    @contextmanager
    def lock(self, project: str, views: Sequence[str], verb: str, wait: timedelta = WAIT) -> Iterator[None]:
        """Hold the exclusive locks of these views. Raises: LockBusy, StateUnreachable."""
        with ExitStack() as locks:
            for view in sorted(set(views)):  # always in the same order, so that two processes cannot deadlock
                locks.enter_context(self._locked(f"feature view {view!r} of project {project!r}", verb, wait))
            yield

    @contextmanager
    def table_lock(self, project: str, table: str, verb: str, wait: timedelta = WAIT) -> Iterator[None]:
        """Hold the exclusive lock of a table of the data folder. Raises: LockBusy, StateUnreachable."""
        with self._locked(f"table {table!r} of project {project!r}", verb, wait):
            yield

    @contextmanager
    def definitions_lock(self, project: str, verb: str, wait: timedelta = WAIT) -> Iterator[None]:
        """Hold the exclusive lock of a project's definitions: they are applied by one process at a time.

        Raises: LockBusy, StateUnreachable.
        """
        with self._locked(f"the definitions of project {project!r}", verb, wait):
            yield

    @contextmanager
    def _locked(self, what: str, verb: str, wait: timedelta) -> Iterator[None]:
        with ExitStack() as locks:
            try:
                locks.enter_context(database_lock(self._engine, what, verb, wait))
            except (OperationalError, InterfaceError) as error:
                raise StateUnreachable(self._url, str(error.orig)) from error
            yield

    def position(self, project: str, table: str) -> Position | None:
        """Up to and including which value of its growing column a table was read; None before the first run."""
        query = select(positions.c.position).where(positions.c.project == project, positions.c.table == table)
        with self.connected() as connection:
            text = connection.execute(query).scalar_one_or_none()
        return None if text is None else decode_position(text)

    def move_position(self, project: str, table: str, position: Position, *, at: datetime) -> None:
        """Record up to where a table was read, whose rows are on the disk."""
        text = encode_position(position)
        with self.connected(write=True) as connection:
            insert_into = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
            statement = insert_into(positions).values(project=project, table=table, position=text, updated_at=at)
            keys = [positions.c.project, positions.c.table]
            connection.execute(
                statement.on_conflict_do_update(index_elements=keys, set_={"position": text, "updated_at": at})
            )

    def watermark(self, project: str, view: str) -> datetime | None:
        """The arrival up to and including which all rows of `view` are in the online store; None before the first run."""
        with self.connected() as connection:
            return _time_of(connection, watermarks.c.watermark, project, view)

    def newest_event(self, project: str, view: str) -> datetime | None:
        """The newest event time among the rows of `view` that runs brought online; None where there were none."""
        with self.connected() as connection:
            return _time_of(connection, newest_events.c.newest_event, project, view)

    def run_started(
        self,
        project: str,
        view: str,
        verb: str,
        *,
        window_start: datetime | None,
        window_end: datetime,
        started_at: datetime,
    ) -> int:
        """Record a run as running; its id."""
        statement = insert(runs).values(
            project=project,
            view=view,
            verb=verb,
            window_start=window_start,
            window_end=window_end,
            started_at=started_at,
            status=RunStatus.RUNNING,
        )
        with self.connected(write=True) as connection:
            return int(connection.execute(statement.returning(runs.c.id)).scalar_one())

    def run_finished(
        self,
        run: int,
        counts: RunCounts,
        *,
        finished_at: datetime,
        watermark: datetime | None,
        newest_event: datetime | None = None,
        refill: bool = False,
    ) -> datetime | None:
        """Record the successful end of a run and move its view's watermark and newest event, in one transaction.

        Args:
            run: the id from `run_started`.
            counts: its row counts.
            finished_at: when it ended.
            watermark: all rows that arrived up to and including it are in the online store; None leaves it alone.
                It never moves backwards, except with `refill`.
            newest_event: the newest event time among the run's rows, None without rows. That of the view never moves
                backwards, except with `refill`.
            refill: the store was filled from the beginning, so the former watermark and newest event no longer apply.

        Returns:
            The watermark after the call.

        Raises:
            RunNotRunning: nothing was written.
        """
        with self._finishing(run, RunStatus.DONE, finished_at, counts, error=None) as (connection, project, view):
            for time, value in ((watermarks.c.watermark, watermark), (newest_events.c.newest_event, newest_event)):
                if value is not None:
                    _advance(connection, time, (project, view), value, finished_at, refill=refill)
            if refill and newest_event is None:
                _forget(connection, newest_events, project, [view])
            return _time_of(connection, watermarks.c.watermark, project, view)

    def run_failed(self, run: int, error: str, *, finished_at: datetime, counts: RunCounts | None = None) -> None:
        """Record that a run failed; the watermark stays.

        Raises:
            RunNotRunning: nothing was written.
        """
        with self._finishing(run, RunStatus.FAILED, finished_at, counts or RunCounts(), error=error):
            pass

    def forget(self, project: str, views: Sequence[str]) -> None:
        """Delete the watermarks and newest events of views whose rows were removed: if a view is added again, all of its
        rows count as new.
        """
        with self.connected(write=True) as connection:
            for table in (watermarks, newest_events):
                _forget(connection, table, project, views)

    def runs(self, project: str, view: str | None = None, *, limit: int = 100) -> list[VerbRun]:
        """The latest runs, newest first."""
        query = select(runs).where(runs.c.project == project).order_by(runs.c.id.desc()).limit(limit)
        if view is not None:
            query = query.where(runs.c.view == view)
        with self.connected() as connection:
            return [_run(row) for row in connection.execute(query)]

    def done(self, project: str, view: str, verb: str) -> list[VerbRun]:
        """All successful runs of a verb over a view, by the time they finished."""
        query = select(runs).where(runs.c.project == project, runs.c.view == view, runs.c.verb == verb)
        query = query.where(runs.c.status == RunStatus.DONE).order_by(runs.c.finished_at, runs.c.id)
        with self.connected() as connection:
            return [_run(row) for row in connection.execute(query)]

    @contextmanager
    def _finishing(
        self, run: int, status: RunStatus, finished_at: datetime, counts: RunCounts, *, error: str | None
    ) -> Iterator[tuple[Connection, str, str]]:
        """A transaction that ends a run which is running; yields it with the run's project and view."""
        statement = (
            update(runs)
            .where(runs.c.id == run, runs.c.status == RunStatus.RUNNING)
            .values(
                status=status,
                finished_at=finished_at,
                rows_read=counts.read,
                rows_written=counts.written,
                rows_skipped_older=counts.skipped_older,
                rows_held_back=counts.held_back,
                error=error,
            )
            .returning(runs.c.project, runs.c.view)
        )
        with self.connected(write=True) as connection:
            run_row = connection.execute(statement).one_or_none()
            if run_row is None:
                raise RunNotRunning(run)
            yield connection, run_row.project, run_row.view


def _time_of(connection: Connection, time: Column[datetime], project: str, view: str) -> datetime | None:
    """A view's value of `time`, the column of a table with a row for each project and view."""
    table = time.table
    return connection.execute(select(time).where(table.c.project == project, table.c.view == view)).scalar_one_or_none()


def _advance(
    connection: Connection,
    time: Column[datetime],
    view: tuple[str, str],
    value: datetime,
    at: datetime,
    *,
    refill: bool,
) -> None:
    """Set `time` of a project's view to `value`, unless it is later already; with `refill` anyway.

    One statement, so that when two runs finish at the same time the later value stays.
    """
    table, (project, name) = time.table, view
    insert_into = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    statement = insert_into(table).values({"project": project, "view": name, time.name: value, "updated_at": at})
    advanced = statement.on_conflict_do_update(
        index_elements=[table.c.project, table.c.view],
        set_={column: statement.excluded[column] for column in (time.name, "updated_at")},
        where=None if refill else statement.excluded[time.name] > time,
    )
    connection.execute(advanced)


def _forget(connection: Connection, table: Table, project: str, views: Sequence[str]) -> None:
    """Delete the rows of a project's views from a table."""
    connection.execute(delete(table).where(table.c.project == project, table.c.view.in_(views)))


def _run(row: Row[tuple[object, ...]]) -> VerbRun:
    return VerbRun(
        id=row.id,
        project=row.project,
        view=row.view,
        verb=row.verb,
        window_start=row.window_start,
        window_end=row.window_end,
        started_at=row.started_at,
        status=RunStatus(row.status),
        finished_at=row.finished_at,
        counts=RunCounts(row.rows_read, row.rows_written, row.rows_skipped_older, row.rows_held_back),
        error=row.error,
    )
