"""Erasing one subject.

Held by tests/sdk/test_project.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from skewless.html.table import PageTable, thousands
from skewless.sdk.arguments import BadArgument
from skewless.sdk.results import ShownResult

if TYPE_CHECKING:
    from datetime import timedelta

    from skewless.erasure.erase import ErasurePlan
    from skewless.erasure.receipt import ErasureReceipt
    from skewless.sdk.session import ProjectSession


@dataclass(frozen=True, slots=True, repr=False)
class ErasedSubject(ShownResult):
    """What is stored about a subject (a dry run), or what was erased: then `receipt` says so, and `path` is its file."""

    plan: ErasurePlan | None = None
    receipt: ErasureReceipt | None = None
    path: Path | None = None

    def lines(self) -> list[str]:
        """The result as text, line by line."""
        if self.receipt is None:
            return self.plan.lines() if self.plan else []
        return [str(self.receipt), f"receipt: {self.path}"]

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
        if dry_run:
            return ErasedSubject(verb.plan(subject, places))
        with session.step("erase") as progress:
            receipt, path = verb.run(subject, places, session.now, settle=settle, report=progress.at)
            progress.result = str(receipt)
    return ErasedSubject(None, receipt, path)
