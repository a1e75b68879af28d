"""A project as its user has it in a notebook or a program: every verb of the command line, and frames in and out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from skewless.sdk.arguments import Instant, Length, length, names
from skewless.sdk.frames import Rows
from skewless.sdk.model_rows import Spine
from skewless.sdk.model_verbs import ModelVerbs
from skewless.sdk.session import ProjectSession, project_settings

if TYPE_CHECKING:
    from types import TracebackType

    from skewless.monitoring.served_log.ground_truth import GroundTruthAdded
    from skewless.online.push.push import PushResult
    from skewless.runtime.settings import ProjectSettings
    from skewless.sdk.definitions import AppliedProject, ProjectStatus
    from skewless.sdk.erasing import ErasedSubject
    from skewless.sdk.housekeeping import HousekeepingVerbs
    from skewless.sdk.online import MaterializedViews
    from skewless.sdk.projects import BuiltProject, FeastDifferences, ImportedFeastRows, MovedRepository
    from skewless.sdk.served import WhatIfReport
    from skewless.sdk.store_verbs import OnlineStoreVerbs
    from skewless.sdk.tables import FilledTables, QualityReport

for _needed in ("duckdb", "feast", "sqlalchemy"):
    if find_spec(_needed) is None:
        raise ModuleNotFoundError(f"skewless.sdk needs {_needed}: pip install 'skewless[pipelines]'", name=_needed)


class Project(ModelVerbs):
    """A project. Every method reads its files and stores as they are when it is called; what is not given comes from the
    models that it declares. Where a method cannot do its work it raises a `SkewlessError`, whose text says what to do.

    Use it as a context, or call `close`, where the process goes on afterwards.
    """

    @classmethod
    def open(cls, folder: str | Path | None = None, *, progress: bool = True) -> Self:
        """The project of a folder, by default the working folder: the nearest one upward, as the command line finds it.

        `SKEWLESS_` variables count as they do there. `progress` prints a line for each step, with a bar in a notebook and on
        a terminal. Raises: ProjectNotFound, BadSetting.
        """
        return cls(ProjectSession(project_settings(folder), progress=progress))

    @classmethod
    def init(
        cls,
        folder: str | Path,
        events: str | Path | None = None,
        *,
        entity: str | None = None,
        time: str | None = None,
        label: str | None = None,
        table: str | None = None,
        progress: bool = True,
    ) -> Self:
        """Make a project in a new folder: a shop's, or one over `events`: a file, folder or glob (CSV, Parquet, JSON Lines), or
        a PostgreSQL URL with a `table`; with its columns for entity, time and label.
        Raises: BadArgument, BadProjectName, FolderNotEmpty, EventsUnreadable.
        """
        from skewless.sdk import projects

        projects.init(Path(folder).absolute(), events, entity=entity, time=time, label=label, table=table)
        return cls.open(folder, progress=progress)

    @classmethod
    def from_feast(cls, repository: str | Path, folder: str | Path | None = None) -> MovedRepository:
        """Move a Feast repository to our stores where it is, or a copy of it in a new `folder`: its `feature_store.yaml` is
        changed, the rest stays. What differs in meaning is in the result; `open` its `repo`.
        Raises: NoFeastRepository, StoreFileUnchanged, MigrationRefused, FormerFileDiffers, BadProjectName, FolderNotEmpty.
        """
        from skewless.sdk import projects

        return projects.move_from_feast(Path(repository), None if folder is None else Path(folder).absolute())

    @classmethod
    def doctor(cls, from_feast: str | Path) -> FeastDifferences:
        """What a Feast repository would answer otherwise on our stores, by law and view, counted in its own tables: as
        `from_feast` says it, without changing anything. Raises: NoFeastRepository, StoreFileUnchanged, MigrationRefused.
        """
        from skewless.sdk import projects

        return projects.diagnose_feast(Path(from_feast))

    @property
    def folder(self) -> Path:
        """The folder of the definitions."""
        return self._session.settings.feature_repo

    @property
    def settings(self) -> ProjectSettings:
        """Its settings, resolved."""
        return self._session.settings

    @cached_property
    def store(self) -> OnlineStoreVerbs:
        """The online store: start, stop, runs, stream."""
        from skewless.sdk.store_verbs import OnlineStoreVerbs

        return OnlineStoreVerbs(self._session)

    @cached_property
    def housekeeping(self) -> HousekeepingVerbs:
        """What keeps stores and logs tidy and true: verify, expire, sweep, compact, trim."""
        from skewless.sdk.housekeeping import HousekeepingVerbs

        return HousekeepingVerbs(self._session)

    def apply(self, *, now: bool = False, force: bool = False) -> AppliedProject:
        """Register the definitions with Feast. Old ones that published models read are kept beside the new ones.

        `now` drops old definitions at once: models that were trained on them stop answering. `force` goes back to
        definitions that were applied before and superseded. Raises: ApplyRefused, ApplyFailed.
        """
        from skewless.sdk import definitions

        return definitions.apply(self._session, at_once=now, force=force)

    def ingest(
        self,
        table: str | None = None,
        files: str | Path | Sequence[str | Path] = (),
        *,
        start: Instant | None = None,
        end: Instant | None = None,
        columns: Mapping[str, str] | None = None,
        unchecked: bool = False,
    ) -> FilledTables:
        """Fill all tables that declare how, or one; or put the rows of files to those of one.

        The UTC days start <= day < end are filled, by default those that the table declares. `columns` are the table's names
        of the files' columns. `unchecked` lets rows pass that do not meet expectations.
        Raises: BadArgument, UnknownTable, FilesNeeded, IngestMismatch, QualityRefused, LockBusy.
        """
        from skewless.sdk import tables

        paths = [files] if isinstance(files, str | Path) else list(files)
        return tables.ingest(self._session, table, paths, (start, end), columns or {}, unchecked=unchecked)

    def build(self) -> BuiltProject:
        """The way from definitions to served values: apply, ingest, then training set, training and version of each declared
        model, and materialize. Run again, it changes only what changed. Raises: what the first step that fails raises.
        """
        from skewless.sdk import projects

        return projects.build(self, self._session)

    def materialize(
        self,
        view: str | Iterable[str] | None = None,
        *,
        start: Instant | None = None,
        end: Instant | None = None,
        full: bool = False,
        dry_run: bool = False,
        unchecked: bool = False,
    ) -> MaterializedViews:
        """Write the rows that arrived in (start, end] to the online store: since each view's watermark, or `full` from the
        beginning, until now. `dry_run` only plans. Raises: UnknownFeatureView, QualityRefused, SourceMissing, LockBusy,
        RedisUnreachable, StoreFull.
        """
        from skewless.sdk import online

        return online.materialize(
            self._session, names(view), (start, end), full=full, dry_run=dry_run, unchecked=unchecked
        )

    def push(
        self,
        view: str,
        rows: Rows | str | Path | bytes,
        *,
        format: Literal["json", "csv", "parquet"] | None = None,  # noqa: A002 - the command line's word
        unchecked: bool = False,
    ) -> PushResult:
        """Push rows into a view's table and the online store: a frame, dicts, a file, or the bytes of one in this `format`.

        Where the online store takes none of them, the result's `refusal` says why: the rows are in the table.
        Raises: UnknownFeatureView, InvalidRows, SourceMismatch, UnreadableRowFile, TableRefused; nothing is stored then.
        """
        from skewless.sdk import online

        return online.push(self._session, view, rows, format, unchecked=unchecked)

    def import_feast(
        self,
        store: str | None = None,
        *,
        view: str | Iterable[str] | None = None,
        remove: bool = False,
        dry_run: bool = False,
    ) -> ImportedFeastRows:
        """Bring rows that only Feast's own online store holds, as pushed rows are, into the tables and the online store; what
        cannot be brought is counted. A row counts where it is newer than the table's, and is known since the import.

        `store` is the connection string of Feast's Redis or its SQLite file, by default that of the `feature_store.yaml` which
        was kept in the move. `remove` takes what was imported, or is older than the table's, out of Feast's store. `dry_run`
        only counts. It may be cut short and run again. Raises: BadArgument, FormerStoreUnknown, FormerStoreUnreachable,
        UnknownFeatureView, RedisUnreachable, LockBusy.
        """
        from skewless.sdk import projects

        return projects.import_feast(self._session, store, names(view), remove=remove, dry_run=dry_run)

    def outcomes(self, rows: Rows | str | Path, *, model: str | None = None) -> GroundTruthAdded:
        """Store the outcomes of served predictions, with which the audit compares the scores: a frame, dicts or a file with
        `request_id`, `label` (0 or 1) and `row`. Raises: BadGroundTruth, OutcomesOfNoModel; nothing is stored then.
        """
        from skewless.sdk import served

        return served.outcomes(self._session, rows, model)

    def what_if(
        self,
        every: str | Iterable[str] = ("15m", "1h", "6h", "24h"),
        *,
        delay: str = "0s",
        model: str | None = None,
        since: Instant | None = None,
        until: Instant | None = None,
        spine: Spine | None = None,
        label: str | None = None,
        html: str | Path | None = None,
    ) -> WhatIfReport:
        """The AUC and logloss that refreshing the online store on each schedule, with a `delay`, would have given on the
        labelled rows of [since, until), by default the model's test window. Raises: BadSchedule, StepInputMissing.
        """
        from skewless.sdk import served

        request = served.WhatIfRequest(names(every), delay, model, since, until, spine, label)
        return served.what_if(self._session, request, None if html is None else Path(html))

    def quality(self, view: str | Iterable[str] | None = None, *, at: Instant | None = None) -> QualityReport:
        """Check the tables of all feature views, or of some, against their expectations, as of a time, by default now.
        Raises: UnknownFeatureView, BadExpectation, SourceMissing.
        """
        from skewless.sdk import tables

        return tables.quality(self._session, names(view), at)

    def status(self) -> ProjectStatus:
        """Where everything is, and how fresh each feature view is online. Raises: StateUnreachable."""
        from skewless.sdk import definitions

        return definitions.status(self._session)

    def erase(self, keys: Mapping[str, object], *, dry_run: bool = False, settle: Length = "8s") -> ErasedSubject:
        """Erase one subject, {"customer_id": 42}, from tables, store, streams, training sets, outcomes and served logs; leaves
        a receipt. `dry_run` only lists. `settle` is how long pushes on their way have to land.
        Raises: SubjectMissing, ErasureUnfinished, RedisUnreachable, LockBusy.
        """
        from skewless.sdk import erasing

        return erasing.erase(self._session, keys, dry_run=dry_run, settle=length(settle))

    def close(self) -> None:
        """End the project's own prediction server, if it runs, and connections; the next call opens them anew."""
        if "_servers" in self.__dict__:
            self._servers.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Project({str(self.folder)!r})"
