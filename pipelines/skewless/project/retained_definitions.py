"""Superseded definitions that live models read: which they are, for whom they are kept, and their removal afterwards.

Held by tests/project/test_apply_change.py.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from functools import partial

import msgspec

from skewless.contract.storage.stored_name import view_name
from skewless.definitions.definition_change import StoredDefinitions
from skewless.definitions.live_reads import live_reads
from skewless.offline.tables.view_rows import unreadable_reason
from skewless.online.maintenance import view_removal
from skewless.project.project import ProjectContext
from skewless.runtime.progress import Report, quiet

_VERB = "sweep"


class RetainedStatus(msgspec.Struct, frozen=True):
    """A superseded definition of a view, the model versions that it is kept for (none: the next sweep removes it), and
    why its table cannot be read any more, if so.
    """

    view: str
    stored_as: str
    kept_for: list[str]
    unreadable: str | None = None

    def __str__(self) -> str:
        readers = f"kept for {', '.join(self.kept_for)}" if self.kept_for else "no longer needed: `skewless sweep`"
        frozen = f"; it is not materialized any more, its rows stay until their ttl: {self.unreadable}"
        return f"{self.stored_as:<28} an old definition of {self.view}, {readers}{frozen if self.unreadable else ''}"

    def as_json(self) -> dict[str, object]:
        return {"superseded": msgspec.to_builtins(self)}


def status(work: ProjectContext) -> list[RetainedStatus]:
    """Every superseded definition that is still stored. Raises: RegistryUnreadable, StateUnreachable."""
    views = work.retained()
    readers = _readers(work) if views else {}
    return [
        RetainedStatus(
            view_name(view.plan.stored_as),
            view.plan.stored_as,
            readers.get(view.plan.stored_as, []),
            unreadable_reason(view.plan, view.source),
        )
        for view in views
    ]


def unreadable_definitions(work: ProjectContext) -> list[str]:
    """Warnings of superseded definitions whose tables cannot be read by them any more. Raises: as `status`."""
    return [f"warning: {definition}" for definition in status(work) if definition.unreadable]


def _readers(work: ProjectContext) -> dict[str, list[str]]:
    """The live models that read the recorded definition under each stored name."""
    stored = StoredDefinitions(work.recorded.names, {}, live_reads(work.settings.registry, work.project))
    return {name: [read.reader for read in stored.reads(name)] for name in stored.by_name}


def sweep(work: ProjectContext, at: datetime, *, drop: Collection[str] = (), report: Report = quiet) -> dict[str, int]:
    """Remove the definitions that no live model reads, or that are to be dropped, and finish interrupted removals; rows
    removed by stored name. `at` is noted in the records. A run that was killed is continued by the next one.

    Raises: RemovalUnfinished, RegistryUnreadable, StateUnreachable, RedisUnreachable, StoreReadOnly.
    """
    superseded = {view.plan.stored_as: view.plan for view in work.retained()}
    readers = _readers(work) if superseded else {}
    unneeded = [name for name in superseded if name in drop or not readers.get(name)]
    views = [superseded[name] for name in unneeded]
    if unneeded:
        # Watermarks first: after a kill in between, rows without a watermark are materialized again.
        work.state.forget(work.project, unneeded)
    lock = partial(work.state.lock, work.project, verb=_VERB)
    removed = view_removal.remove(work.client, work.project, views, lock=lock, report=report)
    if unneeded:
        work.recorded.log.remove(unneeded, at)
    return removed
