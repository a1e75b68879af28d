"""Erases one subject: from streams, tables and their parts, the online store, training sets, outcomes and served logs.

First everything is looked for, and a receipt that says what was found is on the disk before anything is removed; then
it is removed, and looked for again until nothing is left. A run that was killed is taken up by the next one for the
same subject, whose receipt then tells of both. Other subjects' rows keep their values, order and places.

The receipt knows the subject by a salted digest. What cannot be reached is listed in it: models that were trained on
the rows, copies and backups, raw data that `ingest` would read again.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
from redis import Redis, RedisCluster

from pipelines import erase_files, erase_online, erase_outcomes
from pipelines.erase_files import Found, Table
from pipelines.folder import write_file
from pipelines.offline import Source
from pipelines.progress import Report, quiet
from pipelines.state import State
from pipelines.stream_entries import StreamEntries
from pipelines.subject import ALGORITHM, Subject
from pipelines.turns import WAIT
from serving.contract.bundle import PLAN
from serving.contract.errors import SkewlessError
from serving.contract.folders import Folders
from serving.contract.plan import View, plan_from_json
from serving.contract.registry import Registry

_ROUNDS = 5
_UNREACHED = [
    "models that were trained on the rows, and the golden rows in their bundles",
    "copies, backups and raw data outside of the state folder; ingesting those again brings the rows back",
    "the append-only file and snapshots of Redis until it rewrites them (BGREWRITEAOF, BGSAVE)",
]


class Rewritten(msgspec.Struct):
    """A file that held rows about the subject; digests are SHA-256, `after` null where the file is gone by now."""

    kind: str
    path: str
    rows: int
    before: str | None = None
    after: str | None = None


class Receipt(msgspec.Struct):
    """What an erasure found and removed. `done` only after nothing was left."""

    id: str
    started_at: str
    keys: list[str]
    salt: str
    digest: str
    algorithm: str = ALGORITHM
    status: str = "running"
    finished_at: str | None = None
    files: list[Rewritten] = []
    online_entities: int = 0
    stream_rows: int = 0
    not_reached: list[str] = []

    def __str__(self) -> str:
        rows = sum(one.rows for one in self.files)
        return (
            f"{rows:,} rows of {len(self.files):,} files, {self.online_entities:,} entities online, "
            f"{self.stream_rows:,} rows of streams"
        )


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
class Plan:
    """What there is about a subject now."""

    files: tuple[Found, ...]
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
class Places:
    """Where a project keeps what is about its subjects."""

    folders: Folders
    data: Path
    project: str
    views: tuple[tuple[View, Source], ...]
    client: Redis | RedisCluster = field(repr=False)
    registry: Registry = field(repr=False)
    state: State = field(repr=False)

    @property
    def receipts(self) -> Path:
        return self.folders.root / "erasures"

    @property
    def entries(self) -> StreamEntries:
        return StreamEntries(self.client, self.project, "erase")

    def views_of(self, subject: Subject) -> list[str]:
        """The views that may hold the subject."""
        return [view.stored_as for view, _ in self.views if subject.names <= {key.key for key in view.join_keys}]

    def tables(self, subject: Subject) -> Iterator[Table]:
        """Everything in Parquet that may hold the subject; what is found by way of another table comes before that.

        Raises: RegistryUnreadable.
        """
        aliases = _aliases(self.registry, self.views)
        named = {name: sorted({name, *aliases.get(name, ())}) for name, _ in subject.keys}
        sources = {source.path for _, source in self.views}
        for view, source in self.views:
            if source.foreign is None and subject.names <= {key.key for key in view.join_keys}:
                yield Table("table", source.path, {name: [source.column(name)] for name in subject.names}, shared=True)
        for place in _others(self.data, sources):
            yield Table("other table", place, named)
        yield Table("training set", self.folders.training, named)
        logged = {name: [f"entity:{one}" for one in columns] for name, columns in named.items()}
        yield from erase_outcomes.tables(subject, self.folders.served, logged)
        yield Table("served log", self.folders.served, logged)

    def unreached(self, subject: Subject) -> list[str]:
        """Where the subject may be that nothing here can write to."""
        meant = [source for view, source in self.views if subject.names <= {key.key for key in view.join_keys}]
        remote = sorted({source.foreign for source in meant if source.foreign is not None})
        return [f"the table {url}: erase the rows there (a mirror here follows)" for url in remote] + _UNREACHED


def plan(subject: Subject, places: Places, *, report: Report = quiet) -> Plan:
    """Look everywhere; changes nothing. Raises: RedisUnreachable."""
    found: dict[Path, Found] = {}
    tables = list(places.tables(subject))
    for number, table in enumerate(tables):
        report(table.path.name, number, len(tables))
        for one in erase_files.find(subject, table):
            found.setdefault(one.path, one)
    online = erase_online.entities(places.client, places.project, subject, report=report)
    streamed = erase_online.events(places.entries, places.client, subject)
    return Plan(tuple(found.values()), online, streamed)


def run(
    subject: Subject, places: Places, clock: Callable[[], datetime], *, wait: timedelta = WAIT, report: Report = quiet
) -> tuple[Receipt, Path]:
    """Erase the subject; the receipt and where it lies. It waits for materializations of its views, and they for it:
    one that has read the subject's rows would write them afterwards.

    Raises: ErasureUnfinished, Busy, RedisUnreachable, StateUnreachable.
    """
    with places.state.turn(places.project, places.views_of(subject), "erase", wait):
        return _erased(subject, places, clock, wait, report)


def _erased(
    subject: Subject, places: Places, clock: Callable[[], datetime], wait: timedelta, report: Report
) -> tuple[Receipt, Path]:
    receipt = _open_receipt(subject, places.receipts) or _new_receipt(subject, places, clock())
    path = places.receipts / f"{receipt.id}.json"
    for _ in range(_ROUNDS):
        found = plan(subject, places, report=report)
        _note(receipt, found, places.folders.root)
        if found.empty:
            break
        _save(path, receipt)
        _remove(subject, places, found, wait, report)
    else:
        raise ErasureUnfinished(str(path))
    for one in receipt.files:
        one.after = erase_files.digest(places.folders.root / one.path)
    receipt.status, receipt.finished_at = "done", clock().isoformat()
    _save(path, receipt)
    return receipt, path


def _remove(subject: Subject, places: Places, found: Plan, wait: timedelta, report: Report) -> None:
    """Sources of rows first, so that what follows does not come back."""
    erase_online.events(places.entries, places.client, subject, delete=True)
    for number, one in enumerate(found.files):
        report(one.path.name, number, len(found.files))
        erase_files.remove(subject, one, wait)
    erase_online.entities(places.client, places.project, subject, delete=True, report=report)


def _note(receipt: Receipt, found: Plan, root: Path) -> None:
    """What was found joins what an earlier, killed run had found."""
    known = {one.path: one for one in receipt.files}
    for one in found.files:
        path = str(one.path.relative_to(root) if one.path.is_relative_to(root) else one.path)
        if path in known:
            known[path].rows = max(known[path].rows, one.rows)
        else:
            receipt.files.append(Rewritten(one.table.kind, path, one.rows, erase_files.digest(one.path)))
    receipt.online_entities = max(receipt.online_entities, found.online_entities)
    receipt.stream_rows = max(receipt.stream_rows, found.stream_rows)


def _new_receipt(subject: Subject, places: Places, now: datetime) -> Receipt:
    salt = secrets.token_bytes(16)
    return Receipt(
        id=f"{now:%Y%m%dT%H%M%S}-{secrets.token_hex(4)}",
        started_at=now.isoformat(),
        keys=sorted(subject.names),
        salt=salt.hex(),
        digest=subject.digest(salt),
        not_reached=places.unreached(subject),
    )


def _open_receipt(subject: Subject, folder: Path) -> Receipt | None:
    """The receipt of a run for this subject that was cut short."""
    for path in sorted(folder.glob("*.json")) if folder.is_dir() else ():
        receipt = msgspec.json.decode(path.read_bytes(), type=Receipt)
        if receipt.status != "done" and receipt.digest == subject.digest(bytes.fromhex(receipt.salt)):
            return receipt
    return None


def _save(path: Path, receipt: Receipt) -> None:
    write_file(path, msgspec.json.format(msgspec.json.encode(receipt)))


def _others(data: Path, sources: Iterable[Path]) -> list[Path]:
    """What lies in the data folder and is no view's table: spines, say."""
    known = {*sources, *(path.with_name(f"{path.name}.parts") for path in sources)}
    if not data.is_dir():
        return []
    inside = [path for path in sorted(data.iterdir()) if path not in known and path.name[0] not in "._"]
    nested = [path for path in inside if not any(source.is_relative_to(path) for source in known)]
    return [path for path in nested if path.is_dir() or path.suffix == ".parquet"]


def _aliases(registry: Registry, views: Iterable[tuple[View, Source]]) -> dict[str, set[str]]:
    """Other names of join keys, by which spines and served logs call them: as published plans say."""
    found: dict[str, set[str]] = {}
    kept = [view for view, _ in views]
    for name, content in registry.every(PLAN):
        kept += plan_from_json(content, name=name).views
    for view in kept:
        for key in view.join_keys:
            found.setdefault(key.key, set()).add(key.name)
    return found
