"""Erasing one subject.

Held by tests/sdk/test_project.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from skewless.contract.errors import SkewlessError
from skewless.html.table import PageTable, thousands
from skewless.sdk.arguments import BadArgument
from skewless.sdk.results import ShownResult

if TYPE_CHECKING:
    from datetime import timedelta

    from skewless.erasure.erase import ErasurePlan
    from skewless.erasure.receipt import ErasureReceipt
    from skewless.project.project import ProjectContext
    from skewless.project.table import Table
    from skewless.sdk.session import ProjectSession


@dataclass(frozen=True, slots=True, repr=False)
class ErasedSubject(ShownResult):
    """What is stored about a subject (a dry run), or what was erased: then `receipt` says so, and `path` is its file.

    `refilled_tables` are made by functions or SQL: what they read has to lose the subject too.
    """

    plan: ErasurePlan | None = None
    receipt: ErasureReceipt | None = None
    path: Path | None = None
    refilled_tables: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """The result as text, line by line."""
        if self.receipt is None:
            return [*(self.plan.lines() if self.plan else []), *self._returns()]
        return [str(self.receipt), f"receipt: {self.path}", *self._returns()]

    def _returns(self) -> list[str]:
        found = self.receipt.has_findings if self.receipt else self.plan is not None and not self.plan.empty
        if not (found and self.refilled_tables):
            return []
        tables = f"table{'s' * (len(self.refilled_tables) > 1)} {', '.join(self.refilled_tables)}"
        mend = "where what is read for it still has the subject; remove it there too"
        return [f"warning: the next ingest of {tables} brings the subject back {mend}"]

    def tables(self) -> list[PageTable]:
        """The files that were rewritten."""
        rows = tuple((one.path, one.kind, thousands(one.rows)) for one in (self.receipt.files if self.receipt else ()))
        return [PageTable("", "", ("file", "kind", "rows erased"), rows, texts=True)] if rows else []


def erase(session: ProjectSession, keys: Mapping[str, object], *, dry_run: bool, settle: timedelta) -> ErasedSubject:
    """Erase the subject with all of these join keys. Raises: SubjectMissing, ErasureUnfinished, RedisUnreachable, LockBusy."""
    from skewless.erasure import erase as verb
    from skewless.erasure.subject import ErasureSubject

    if not isinstance(keys, Mapping):
        raise BadArgument(session.spelled("keys"), f"is {keys!r}; give join keys and values, {{'customer_id': 42}}")
    if missing := [name for name, value in keys.items() if value is None]:
        raise BadArgument(session.spelled("keys"), f"has no value of {missing[0]!r}")
    subject = ErasureSubject.parse([f"{name}={value}" for name, value in keys.items()])
    with session.opened() as work:
        stored, registry = tuple(work.definitions()), work.settings.registry
        places = verb.ErasurePlaces(
            *(work.folders, work.data, work.project, stored, work.client, registry, work.state), work.stored_outputs()
        )
        tables = tuple(_refilled_tables(work, subject.names))
        if dry_run:
            return ErasedSubject(verb.plan(subject, places), refilled_tables=tables)
        with session.step("erase") as progress:
            receipt, path = verb.run(subject, places, session.now, settle=settle, report=progress.at)
            progress.result = str(receipt)
    return ErasedSubject(None, receipt, path, tables)


def _refilled_tables(work: ProjectContext, keys: frozenset[str]) -> Iterator[str]:
    """The declared tables of the subject's views, or with its keys, that are made by a function or a query."""
    sources = {source.path.name for view, source in work.definitions() if keys <= {key.key for key in view.join_keys}}
    declared: dict[str, Table] = {}
    with suppress(SkewlessError):  # who has to erase does not need a tables.py that can be read
        declared = work.tables.by_name
    for table in declared.values():
        if table.rows is not None and (table.name in sources or keys <= set(table.key_columns)):
            yield table.name
