"""What only Feast's own online store holds, brought into the project.

Held by tests/feast/importing/test_import_rows.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from skewless.contract.storage.stored_name import plain_name
from skewless.html.table import PageTable, thousands
from skewless.sdk.arguments import BadArgument
from skewless.sdk.results import ShownResult

if TYPE_CHECKING:
    from skewless.feast.importing.former_rows import FeastKeyParser, FeastOnlineRows
    from skewless.feast.importing.import_result import ImportResult
    from skewless.online.store.redis_protocol import SyncRedis
    from skewless.project.migration.former_store import FormerRedis, FormerSqlite
    from skewless.sdk.session import ProjectSession


@dataclass(frozen=True, slots=True, repr=False)
class ImportedFeastRows(ShownResult):
    """What was brought from Feast's online store at `place`, and what was not and why, by feature view."""

    place: str
    result: ImportResult

    @property
    def clean(self) -> bool:
        """Whether all that was imported reads back as Feast's store has it."""
        return self.result.clean

    def lines(self) -> list[str]:
        """The result as text, line by line."""
        first, *others = self.result.lines()
        return [f"{self.place}: {first}", *others]

    def tables(self) -> list[PageTable]:
        """The counts by view."""
        heads = ("feature view", "imported", "as the table has them", "older", "corrected", "removed")
        rows = tuple(
            (one.view, *map(thousands, (one.imported, one.known, one.older, one.corrected, one.removed)))
            for one in self.result.views
        )
        return [PageTable("", "", heads, rows)] if rows else []


def import_feast(
    session: ProjectSession, store: str | None, views: Sequence[str], *, remove: bool, dry_run: bool
) -> ImportedFeastRows:
    """Import what is only in Feast's store. Raises: BadArgument, FormerStoreUnknown, FormerSecretMissing,
    FormerStoreUnreachable, UnknownFeatureView, RedisUnreachable, StoreFull, TableRefused, LockBusy.
    """
    from skewless.feast.importing.import_rows import FeastImport, ImportTarget
    from skewless.project.migration.former_store import former_store, literal_password

    option = session.spelled("store")
    if store is not None and literal_password(store):
        raise BadArgument(
            option, "has a password, which others could read; name a variable: password=${REDIS_PASSWORD}"
        )
    if remove and dry_run:
        raise BadArgument(session.spelled("dry_run"), f"changes nothing; leave out {session.spelled('remove')}")
    with session.opened() as work:
        former = former_store(work.settings.feature_repo, store)
        push_targets = work.targets()
        targets = [
            ImportTarget(view, source, push_targets[plain_name(view.stored_as)]) for view, source in work.stored(views)
        ]
        own_fields = [view.stored_as.encode() for view, _ in work.definitions()]
        with session.step("import-feast") as progress:
            rows = OpenedFormerStore(former, work.project, own_fields)
            run = FeastImport(work.online_project, work.data, session.now, remove, dry_run, progress.at)
            try:
                done = ImportedFeastRows(rows.place, run.run(targets, rows.open, work.stored_outputs()))
            finally:
                rows.close()
            progress.result = done.lines()[0]
    return done


class OpenedFormerStore:
    """Opens the reader of a store, and closes its connection."""

    def __init__(self, former: FormerRedis | FormerSqlite, project: str, own_fields: Sequence[bytes]) -> None:
        self._former, self._project, self._own = former, project, own_fields
        self._client: SyncRedis | None = None

    @property
    def place(self) -> str:
        """Where it is, without secrets."""
        from skewless.project.migration.former_store import FormerSqlite

        return str(self._former.path) if isinstance(self._former, FormerSqlite) else self._former.place

    def open(self, features: Mapping[str, Sequence[str]], keys: FeastKeyParser) -> FeastOnlineRows:
        """The rows of these views. Raises: FormerStoreUnreachable."""
        from skewless.feast.importing.former_rows import FormerStoreUnreachable
        from skewless.feast.importing.redis_layout import FeastRedisRows
        from skewless.feast.importing.sqlite_layout import FeastSqliteRows
        from skewless.online.store.connection import RedisUnreachable, connect
        from skewless.project.migration.former_store import FormerSqlite

        if isinstance(self._former, FormerSqlite):
            return FeastSqliteRows(self._former.path, self._project, keys)
        try:
            self._client = connect(self._former.secret_url)
        except RedisUnreachable as error:
            raise FormerStoreUnreachable(self.place, error.reason) from error
        return FeastRedisRows(self._client, self._project, features, keys, self._own)

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._client is not None:
            self._client.close()
