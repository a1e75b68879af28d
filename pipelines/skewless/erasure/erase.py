"""Erases one subject from streams, tables and their parts, the online store, training sets, batch scores, quarantined rows,
outcomes and served logs.

First everything is searched, and a receipt with the findings is written before anything is removed. Then the findings are
removed, rows in flight get time to arrive, and the search is repeated until nothing is left. A run that was killed is
continued by the next one for the same subject, whose receipt covers both. Other subjects' rows keep their values and order.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from math import ceil
from pathlib import Path

from skewless.contract.errors import SkewlessError
from skewless.contract.model.bundle import PLAN
from skewless.contract.plan import JoinKey, PlanView
from skewless.contract.plan_validation import plan_from_json
from skewless.contract.state_folder import StateFolders
from skewless.erasure import ground_truth_rows, parquet_rows, redis_rows
from skewless.erasure.parquet_rows import ErasableTable, FileWithSubject
from skewless.erasure.receipt import ErasureReceipt, new_receipt, unfinished_receipt
from skewless.erasure.subject import ErasureSubject
from skewless.model.scoring.unfinished_scores import unfinished_folders, wait_for_runs
from skewless.offline.tables.source import TableSource
from skewless.online.push.stream_entries import StreamEntries
from skewless.online.store.redis_protocol import SyncRedis
from skewless.registry.model_registry import ModelRegistry
from skewless.runtime.progress import Report, quiet
from skewless.state.database import StateDatabase
from skewless.state.locks import WAIT

_MOST_ROUNDS = 5
SETTLE = timedelta(seconds=8)
"""How long rows in flight may take to arrive: a server's push (SKEWLESS_PUSH_TIMEOUT_S), its served log
(SKEWLESS_SERVED_LOG_FLUSH_S), a consumer's batch.
"""
Sleep = Callable[[float], None]
_NOT_REACHED = [
    "models that were trained on the rows, and the golden rows in their bundles",
    "batch scores and reports that were written to other folders (`--out`, `--html`, `--json`)",
    "examples in the pages of audits and other reports in the state folder: remove those, or make them anew",
    "copies, backups and raw data outside of the state folder; ingesting them again brings the rows back",
    "the append-only file and snapshots of Redis until it rewrites them (BGREWRITEAOF, BGSAVE)",
    "rows written after the last search, by clients that still push, stream or request predictions of the subject",
]


@dataclass(eq=False)
class ErasureUnfinished(SkewlessError):
    """Rows about the subject are written as fast as they are erased."""

    receipt: str

    def __str__(self) -> str:
        return (
            "rows about the subject come back as fast as they are erased; stop what pushes, streams, ingests or "
            f"materializes them, and run this again (what was done so far: {self.receipt})"
        )


@dataclass(frozen=True, slots=True)
class ErasurePlan:
    """Everything that is stored about a subject now."""

    files: tuple[FileWithSubject, ...]
    online_entities: int
    stream_rows: int

    @property
    def empty(self) -> bool:
        return not (self.files or self.online_entities or self.stream_rows)

    def lines(self) -> list[str]:
        """The plan as lines for a terminal."""
        lines = [f"{file.table.kind}: {file.rows:,} rows of {file.path}" for file in self.files]
        lines += [f"online store: {self.online_entities:,} entities"] if self.online_entities else []
        lines += [f"streams: {self.stream_rows:,} rows"] if self.stream_rows else []
        return lines or ["nothing is about this subject"]


@dataclass(frozen=True, slots=True)
class ErasurePlaces:
    """Every place of a project that may contain a subject's rows: folders, tables, online store, streams, models."""

    folders: StateFolders
    data: Path
    project: str
    views: tuple[tuple[PlanView, TableSource], ...]
    client: SyncRedis = field(repr=False)
    registry: ModelRegistry = field(repr=False)
    state: StateDatabase = field(repr=False)
    outputs: tuple[str, ...] = ()
    """The on-demand views whose outputs are stored, with the entities' rows."""

    @property
    def receipts(self) -> Path:
        return self.folders.root / "erasures"

    @property
    def entries(self) -> StreamEntries:
        return StreamEntries(self.client, self.project, "erase")

    def views_of(self, subject: ErasureSubject) -> list[str]:
        """The names of the views that have all of the subject's join keys, and of those that are made of views."""
        views = [view.stored_as for view, _ in self.views if subject.names <= {key.key for key in view.join_keys}]
        return [*views, *self.outputs]

    def tables(self, subject: ErasureSubject) -> Iterator[ErasableTable]:
        """Everything in Parquet that may contain the subject; outcomes, which are found through the served log, come before it.

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
        for path in _other_tables(self.data, sources):
            yield ErasableTable("other table", path, named)
        yield ErasableTable("training set", self.folders.training, named)
        for folder in (self.folders.scores, *unfinished_folders(self.folders.scores)):
            yield ErasableTable("batch scores", folder, named)
        yield ErasableTable("quarantined rows", self.folders.quarantine, self._stored_names(named))
        logged = {name: [f"entity:{column}" for column in columns] for name, columns in named.items()}
        yield from ground_truth_rows.tables(subject, self.folders.served, logged)
        yield ErasableTable("served log", self.folders.served, logged)

    def _stored_names(self, named: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
        """The names of keys with those that they have in tables."""
        columns = {name: set(names) for name, names in named.items()}
        for view, source in self.views:
            for key in view.join_keys:
                if key.key in columns:
                    columns[key.key].add(source.column(key.key))
        return {name: sorted(names) for name, names in columns.items()}

    def not_reached(self, subject: ErasureSubject) -> list[str]:
        """Places that may contain the subject and that an erasure cannot write to."""
        sources = [source for view, source in self.views if subject.names <= {key.key for key in view.join_keys}]
        remote = sorted({source.foreign for source in sources if source.foreign is not None})
        return [f"the table {url}: erase the rows there (a local mirror follows)" for url in remote] + _NOT_REACHED


def plan(subject: ErasureSubject, places: ErasurePlaces, *, report: Report = quiet) -> ErasurePlan:
    """Search for the subject; changes nothing. Raises: SubjectMissing where nothing is found and a key is not a join key of
    any view, or its value of another type; RedisUnreachable.
    """
    searched = _search(subject, places, report)
    if searched.empty:
        subject.check(_key_types(places.registry, places.views))
    return searched


def _search(subject: ErasureSubject, places: ErasurePlaces, report: Report) -> ErasurePlan:
    files: dict[Path, FileWithSubject] = {}
    tables = list(places.tables(subject))
    for number, table in enumerate(tables):
        report(table.path.name, number, len(tables))
        for file in parquet_rows.find(subject, table):
            files.setdefault(file.path, file)
    online = redis_rows.entities(places.client, places.project, subject, report=report)
    streamed = redis_rows.events(places.entries, places.client, subject)
    return ErasurePlan(tuple(files.values()), online, streamed)


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
    """Erase the subject; returns the receipt and its path. It waits for materializations of the subject's views, and they
    wait for it: one that has read the subject's rows would write them later; so it waits for batch scores. Other rows in flight
    have `settle` to arrive.

    Raises: SubjectMissing, ErasureUnfinished, FileNotRewritten, LockBusy, RedisUnreachable, StateUnreachable.
    """
    settled = partial(_settle, settle.total_seconds(), sleep, report)
    with places.state.lock(places.project, places.views_of(subject), "erase", wait):
        return _erase(subject, places, clock, settled, wait, report)


def _erase(
    subject: ErasureSubject,
    places: ErasurePlaces,
    clock: Callable[[], datetime],
    settle: Callable[[], None],
    wait: timedelta,
    report: Report,
) -> tuple[ErasureReceipt, Path]:
    unfinished = unfinished_receipt(subject, places.receipts)
    receipt = unfinished or new_receipt(subject, places.not_reached(subject), clock())
    path = places.receipts / f"{receipt.id}.json"
    settled = not receipt.has_findings  # otherwise an unfinished run may have removed rows just now
    for _ in range(_MOST_ROUNDS):
        wait_for_runs(places.folders.scores, "erase", wait)
        remaining = _search(subject, places, report) if receipt.has_findings else plan(subject, places, report=report)
        receipt.record(remaining.files, remaining.online_entities, remaining.stream_rows, places.folders.root)
        if remaining.empty and settled:
            break
        if not remaining.empty:
            receipt.save(path)
            _remove(subject, places, remaining, wait, report)
        settle()
        settled = True
    else:
        raise ErasureUnfinished(str(path))
    receipt.finish(clock(), places.folders.root)
    receipt.save(path)
    return receipt, path


def _settle(seconds: float, sleep: Sleep, report: Report) -> None:
    """Wait until rows that were received before the removal have arrived where a search finds them: a pushed row whose part
    was removed may be on its way to the online store, an answered request to the served log.
    """
    passed = 0.0
    while passed < seconds:
        report("waiting for pushes, streams and served logs on their way", int(passed), ceil(seconds))
        sleep(min(1.0, seconds - passed))
        passed += 1.0


def _remove(
    subject: ErasureSubject, places: ErasurePlaces, searched: ErasurePlan, wait: timedelta, report: Report
) -> None:
    """Remove rows from their sources first, so that they do not come back from there."""
    redis_rows.events(places.entries, places.client, subject, delete=True)
    for number, file in enumerate(searched.files):
        report(file.path.name, number, len(searched.files))
        parquet_rows.remove(subject, file, wait)
    redis_rows.entities(places.client, places.project, subject, delete=True, report=report)


def _other_tables(data: Path, sources: Iterable[Path]) -> list[Path]:
    """Parquet in the data folder that is not the table of a view, such as spines."""
    known = {*sources, *(path.with_name(f"{path.name}.parts") for path in sources)}
    if not data.is_dir():
        return []
    inside = [path for path in sorted(data.iterdir()) if path not in known and path.name[0] not in "._"]
    nested = [path for path in inside if not any(source.is_relative_to(path) for source in known)]
    return [path for path in nested if path.is_dir() or path.suffix == ".parquet"]


def _aliases(registry: ModelRegistry, views: Iterable[tuple[PlanView, TableSource]]) -> dict[str, set[str]]:
    """By join key, the names that spines and served logs use for it, according to the views and to published plans."""
    aliases: dict[str, set[str]] = {}
    for key in _join_keys(registry, views):
        aliases.setdefault(key.key, set()).add(key.name)
    return aliases


def _key_types(registry: ModelRegistry, views: Iterable[tuple[PlanView, TableSource]]) -> dict[str, set[str]]:
    """By join key, the types that it has in views and published plans."""
    types: dict[str, set[str]] = {}
    for key in _join_keys(registry, views):
        types.setdefault(key.key, set()).add(key.dtype)
    return types


def _join_keys(registry: ModelRegistry, views: Iterable[tuple[PlanView, TableSource]]) -> Iterator[JoinKey]:
    plan_views = [view for view, _ in views]
    for name, content in registry.every(PLAN):
        plan_views += plan_from_json(content, name=name).views
    for view in plan_views:
        yield from view.join_keys
