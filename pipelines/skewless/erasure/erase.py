"""Erases one subject: from streams, tables and their parts, the online store, training sets, outcomes and served logs.

First everything is looked for, and a receipt that says what was found is on the disk before anything is removed; then
it is removed, what is on its way gets the time to land, and it is looked for again until nothing is left. A run that
was killed is taken up by the next one for the same subject, whose receipt then tells of both. Other subjects' rows keep
their values, order and places.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from math import ceil
from pathlib import Path

from skewless.contract.errors import SkewlessError
from skewless.contract.model.bundle import PLAN
from skewless.contract.plan import PlanView, plan_from_json
from skewless.contract.state_folder import StateFolders
from skewless.erasure import ground_truth_rows, parquet_rows, redis_rows
from skewless.erasure.parquet_rows import ErasableTable, FileWithSubject
from skewless.erasure.receipt import ErasureReceipt, new_receipt, open_receipt
from skewless.erasure.subject import ErasureSubject
from skewless.offline.tables.source import TableSource
from skewless.online.push.stream_entries import StreamEntries
from skewless.online.store.redis_protocol import SyncRedis
from skewless.registry.model_registry import ModelRegistry
from skewless.runtime.progress import Report, quiet
from skewless.state.database import StateDatabase
from skewless.state.locks import WAIT

_ROUNDS = 5
SETTLE = timedelta(seconds=8)
"""How long what is on its way may take to land: a server's push (SKEWLESS_PUSH_TIMEOUT_S), its served log
(SKEWLESS_SERVED_LOG_FLUSH_S), a consumer's batch.
"""
Sleep = Callable[[float], None]
_UNREACHED = [
    "models that were trained on the rows, and the golden rows in their bundles",
    "copies, backups and raw data outside of the state folder; ingesting those again brings the rows back",
    "the append-only file and snapshots of Redis until it rewrites them (BGREWRITEAOF, BGSAVE)",
    "what was written after the last look: by whoever still pushes, streams or asks for predictions of the subject",
]


@dataclass(eq=False)
class ErasureUnfinished(SkewlessError):
    """Somebody writes the subject as fast as it is erased."""

    receipt: str

    def __str__(self) -> str:
        return (
            "rows about the subject come back as fast as they are erased; stop what pushes, streams, ingests or "
            f"materializes them, and run this again (what was done so far: {self.receipt})"
        )


@dataclass(frozen=True, slots=True)
class ErasurePlan:
    """What there is about a subject now."""

    files: tuple[FileWithSubject, ...]
    online_entities: int
    stream_rows: int

    @property
    def empty(self) -> bool:
        return not (self.files or self.online_entities or self.stream_rows)

    def lines(self) -> list[str]:
        """The plan for people."""
        told = [f"{one.table.kind}: {one.rows:,} rows of {one.path}" for one in self.files]
        told += [f"online store: {self.online_entities:,} entities"] if self.online_entities else []
        told += [f"streams: {self.stream_rows:,} rows"] if self.stream_rows else []
        return told or ["nothing is about this subject"]


@dataclass(frozen=True, slots=True)
class ErasurePlaces:
    """Where a project keeps what is about its subjects."""

    folders: StateFolders
    data: Path
    project: str
    views: tuple[tuple[PlanView, TableSource], ...]
    client: SyncRedis = field(repr=False)
    registry: ModelRegistry = field(repr=False)
    state: StateDatabase = field(repr=False)

    @property
    def receipts(self) -> Path:
        return self.folders.root / "erasures"

    @property
    def entries(self) -> StreamEntries:
        return StreamEntries(self.client, self.project, "erase")

    def views_of(self, subject: ErasureSubject) -> list[str]:
        """The views that may hold the subject."""
        return [view.stored_as for view, _ in self.views if subject.names <= {key.key for key in view.join_keys}]

    def tables(self, subject: ErasureSubject) -> Iterator[ErasableTable]:
        """Everything in Parquet that may hold the subject; what is found by way of another table comes before that.

        Raises: RegistryUnreadable.
        """
        aliases = _aliases(self.registry, self.views)
        named = {name: sorted({name, *aliases.get(name, ())}) for name, _ in subject.keys}
        sources = {source.path for _, source in self.views}
        for view, source in self.views:
            if source.foreign is None and subject.names <= {key.key for key in view.join_keys}:
                yield ErasableTable(
                    "table", source.path, {name: [source.column(name)] for name in subject.names}, shared=True
                )
        for place in _others(self.data, sources):
            yield ErasableTable("other table", place, named)
        yield ErasableTable("training set", self.folders.training, named)
        logged = {name: [f"entity:{one}" for one in columns] for name, columns in named.items()}
        yield from ground_truth_rows.tables(subject, self.folders.served, logged)
        yield ErasableTable("served log", self.folders.served, logged)

    def unreached(self, subject: ErasureSubject) -> list[str]:
        """Where the subject may be that nothing here can write to."""
        meant = [source for view, source in self.views if subject.names <= {key.key for key in view.join_keys}]
        remote = sorted({source.foreign for source in meant if source.foreign is not None})
        return [f"the table {url}: erase the rows there (a mirror here follows)" for url in remote] + _UNREACHED


def plan(subject: ErasureSubject, places: ErasurePlaces, *, report: Report = quiet) -> ErasurePlan:
    """What there is; changes nothing. Raises: NoSubject where that is nothing and nobody is known by such keys,
    RedisUnreachable.
    """
    found = _look(subject, places, report)
    if found.empty:
        subject.check(_aliases(places.registry, places.views))
    return found


def _look(subject: ErasureSubject, places: ErasurePlaces, report: Report) -> ErasurePlan:
    found: dict[Path, FileWithSubject] = {}
    tables = list(places.tables(subject))
    for number, table in enumerate(tables):
        report(table.path.name, number, len(tables))
        for one in parquet_rows.find(subject, table):
            found.setdefault(one.path, one)
    online = redis_rows.entities(places.client, places.project, subject, report=report)
    streamed = redis_rows.events(places.entries, places.client, subject)
    return ErasurePlan(tuple(found.values()), online, streamed)


def run(
    subject: ErasureSubject,
    places: ErasurePlaces,
    clock: Callable[[], datetime],
    *,
    wait: timedelta = WAIT,
    settle: timedelta = SETTLE,
    sleep: Sleep = time.sleep,
    report: Report = quiet,
) -> tuple[ErasureReceipt, Path]:
    """Erase the subject; the receipt and where it lies. It waits for materializations of its views, and they for it:
    one that has read the subject's rows would write them afterwards. What is on its way elsewhere has `settle` to land.

    Raises: NoSubject, ErasureUnfinished, Unwritten, Busy, RedisUnreachable, StateUnreachable.
    """
    settled = partial(_settle, settle.total_seconds(), sleep, report)
    with places.state.turn(places.project, places.views_of(subject), "erase", wait):
        return _erased(subject, places, clock, settled, wait, report)


def _erased(
    subject: ErasureSubject,
    places: ErasurePlaces,
    clock: Callable[[], datetime],
    settle: Callable[[], None],
    wait: timedelta,
    report: Report,
) -> tuple[ErasureReceipt, Path]:
    receipt = open_receipt(subject, places.receipts) or new_receipt(subject, places.unreached(subject), clock())
    path = places.receipts / f"{receipt.id}.json"
    settled = not receipt.noted  # else a run that was cut short removed something just now, perhaps
    for _ in range(_ROUNDS):
        found = _look(subject, places, report) if receipt.noted else plan(subject, places, report=report)
        receipt.note(found.files, found.online_entities, found.stream_rows, places.folders.root)
        if found.empty and settled:
            break
        if not found.empty:
            receipt.save(path)
            _remove(subject, places, found, wait, report)
        settle()
        settled = True
    else:
        raise ErasureUnfinished(str(path))
    receipt.finish(clock(), places.folders.root)
    receipt.save(path)
    return receipt, path


def _settle(seconds: float, sleep: Sleep, report: Report) -> None:
    """Let what was received before the removal land where a look finds it: a pushed row whose part is gone is on its
    way to the online store, a request that was answered to the served log.
    """
    passed = 0.0
    while passed < seconds:
        report("waiting for pushes, streams and served logs on their way", int(passed), ceil(seconds))
        sleep(min(1.0, seconds - passed))
        passed += 1.0


def _remove(
    subject: ErasureSubject, places: ErasurePlaces, found: ErasurePlan, wait: timedelta, report: Report
) -> None:
    """Sources of rows first, so that what follows does not come back."""
    redis_rows.events(places.entries, places.client, subject, delete=True)
    for number, one in enumerate(found.files):
        report(one.path.name, number, len(found.files))
        parquet_rows.remove(subject, one, wait)
    redis_rows.entities(places.client, places.project, subject, delete=True, report=report)


def _others(data: Path, sources: Iterable[Path]) -> list[Path]:
    """What lies in the data folder and is no view's table: spines, say."""
    known = {*sources, *(path.with_name(f"{path.name}.parts") for path in sources)}
    if not data.is_dir():
        return []
    inside = [path for path in sorted(data.iterdir()) if path not in known and path.name[0] not in "._"]
    nested = [path for path in inside if not any(source.is_relative_to(path) for source in known)]
    return [path for path in nested if path.is_dir() or path.suffix == ".parquet"]


def _aliases(registry: ModelRegistry, views: Iterable[tuple[PlanView, TableSource]]) -> dict[str, set[str]]:
    """Other names of join keys, by which spines and served logs call them: as published plans say."""
    found: dict[str, set[str]] = {}
    kept = [view for view, _ in views]
    for name, content in registry.every(PLAN):
        kept += plan_from_json(content, name=name).views
    for view in kept:
        for key in view.join_keys:
            found.setdefault(key.key, set()).add(key.name)
    return found
