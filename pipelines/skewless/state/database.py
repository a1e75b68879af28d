"""The state database: arrival watermarks and runs.

Times are aware UTC as arguments and in results, whatever type the database stores. Nothing here reads the clock.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import Connection, Executable, Row, create_engine, delete, insert, make_url, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import InterfaceError, OperationalError

from skewless.contract.errors import SkewlessError
from skewless.contract.redis_urls import masked
from skewless.state import schema
from skewless.state import sqlite as shared_sqlite
from skewless.state.locks import WAIT, database_lock
from skewless.state.run_history import RunCounts, RunStatus, StateUnreachable, VerbRun
from skewless.state.schema import runs, watermarks


@dataclass(eq=False)
class RunNotRunning(SkewlessError):
    """The run to finish is not running: its id is unknown, or it was finished before."""

    run: int

    def __str__(self) -> str:
        return f"run {self.run} is not running: it is unknown or was finished before; start a new one"


class StateDatabase:
    """Watermarks and runs. One instance per process; threads may share it."""

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
    def _connected(self, *, write: bool = False) -> Iterator[Connection]:
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
                name = f"feature view {view!r} of project {project!r}"
                try:
                    locks.enter_context(database_lock(self._engine, name, verb, wait))
                except (OperationalError, InterfaceError) as error:
                    raise StateUnreachable(self._url, str(error.orig)) from error
            yield

    def watermark(self, project: str, view: str) -> datetime | None:
        """The arrival up to and including which all rows of `view` are in the online store; None before the first run."""
        query = select(watermarks.c.watermark).where(watermarks.c.project == project, watermarks.c.view == view)
        with self._connected() as connection:
            return connection.execute(query).scalar_one_or_none()

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
        with self._connected(write=True) as connection:
            return int(connection.execute(statement.returning(runs.c.id)).scalar_one())

    def run_finished(
        self, run: int, counts: RunCounts, *, finished_at: datetime, watermark: datetime | None, refill: bool = False
    ) -> datetime | None:
        """Record the successful end of a run and move its view's watermark, in one transaction.

        Args:
            run: the id from `run_started`.
            counts: its row counts.
            finished_at: when it ended.
            watermark: all rows that arrived up to and including it are in the online store; None leaves it alone.
                It never moves backwards, except with `refill`.
            refill: the store was filled from the beginning, so the former watermark no longer applies.

        Returns:
            The watermark after the call.

        Raises:
            RunNotRunning: nothing was written.
        """
        with self._finishing(run, RunStatus.DONE, finished_at, counts, error=None) as (connection, project, view):
            if watermark is not None:
                connection.execute(_watermark_upsert(connection, project, view, watermark, finished_at, refill=refill))
            where = (watermarks.c.project == project, watermarks.c.view == view)
            return connection.execute(select(watermarks.c.watermark).where(*where)).scalar_one_or_none()

    def run_failed(self, run: int, error: str, *, finished_at: datetime, counts: RunCounts | None = None) -> None:
        """Record that a run failed; the watermark stays.

        Raises:
            RunNotRunning: nothing was written.
        """
        with self._finishing(run, RunStatus.FAILED, finished_at, counts or RunCounts(), error=error):
            pass

    def forget(self, project: str, views: Sequence[str]) -> None:
        """Delete the watermarks of views whose rows were removed: if a view is added again, all of its rows count as new."""
        statement = delete(watermarks).where(watermarks.c.project == project, watermarks.c.view.in_(views))
        with self._connected(write=True) as connection:
            connection.execute(statement)

    def runs(self, project: str, view: str | None = None, *, limit: int = 100) -> list[VerbRun]:
        """The latest runs, newest first."""
        query = select(runs).where(runs.c.project == project).order_by(runs.c.id.desc()).limit(limit)
        if view is not None:
            query = query.where(runs.c.view == view)
        with self._connected() as connection:
            return [_run(row) for row in connection.execute(query)]

    def done(self, project: str, view: str, verb: str) -> list[VerbRun]:
        """All successful runs of a verb over a view, by the time they finished."""
        query = select(runs).where(runs.c.project == project, runs.c.view == view, runs.c.verb == verb)
        query = query.where(runs.c.status == RunStatus.DONE).order_by(runs.c.finished_at, runs.c.id)
        with self._connected() as connection:
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
        with self._connected(write=True) as connection:
            run_row = connection.execute(statement).one_or_none()
            if run_row is None:
                raise RunNotRunning(run)
            yield connection, run_row.project, run_row.view


def _watermark_upsert(
    connection: Connection, project: str, view: str, watermark: datetime, at: datetime, *, refill: bool
) -> Executable:
    """One statement, so that when two runs finish at the same time the later watermark stays."""
    insert_into = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    statement = insert_into(watermarks).values(project=project, view=view, watermark=watermark, updated_at=at)
    return statement.on_conflict_do_update(
        index_elements=[watermarks.c.project, watermarks.c.view],
        set_={"watermark": statement.excluded.watermark, "updated_at": statement.excluded.updated_at},
        where=None if refill else statement.excluded.watermark > watermarks.c.watermark,
    )


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
