"""Pushes rows of one feature view: into its table, durably, and then into the online store.

The table comes first, so that whatever is served can be trained on. If the online store refuses the rows, the result has
the refusal: the push may be repeated, which is harmless, or the next materialization writes the rows. A row whose event
time (or created time, if the view is admitted by it) is in the future is stored in the table and waits for a
materialization.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from skewless.contract.errors import InvalidInput, InvalidRows, RemovalUnfinished, SkewlessError
from skewless.contract.plan import PlanView
from skewless.contract.storage.entity_key import EntityKeyEncoder, KeyValue
from skewless.contract.storage.push_batch import ParsedRows, PushBatch, PushRowsReader, online_rows, part_table
from skewless.contract.storage.push_target import PushTarget, check_target
from skewless.contract.timestamps import UtcMicros
from skewless.files.table_parts import write_part
from skewless.offline.tables.source import TableSource, parts_folder
from skewless.offline.values import json_input
from skewless.offline.values.packing import packable
from skewless.online.store.connection import RedisUnreachable
from skewless.online.store.redis_errors import StoreFull, StoreReadOnly, UnwritableKeys
from skewless.online.store.store import SyncOnlineStore

Check = Callable[[pa.Table], None]
"""Called with rows in the format of their table; raises to reject them."""
REFUSALS = (StoreFull, StoreReadOnly, UnwritableKeys, RemovalUnfinished)


@dataclass(frozen=True, slots=True)
class PushResult:
    """Result of a push: rows in the table, those of them that won online, and those that wait for their time.

    `refusal` is the error of the online store if it did not accept all rows that are due, else None.
    """

    rows: int
    won: int
    waiting: int
    refusal: SkewlessError | None = None

    def __str__(self) -> str:
        summary = f"{self.rows:,} rows stored"
        if self.refusal is not None:
            return f"{summary}, not online: {self.refusal}"
        return f"{summary}, {self.won:,} won online, {self.waiting:,} wait for their time"


@dataclass(eq=False)
class TableRefused(SkewlessError):
    """The table cannot be written; nothing was pushed."""

    view: str
    reason: str

    def __str__(self) -> str:
        return f"the table of feature view {self.view!r} cannot be written ({self.reason}); mend that, then push again"


def unchecked(rows: pa.Table) -> None:
    """Accept all rows."""


def targets(views: Sequence[tuple[PlanView, TableSource]], data: Path) -> dict[str, PushTarget]:
    """The push targets of a project's views, by name. Relative folders are relative to `data`."""
    return {view.stored_as: _target(view, source, data, views) for view, source in views}


def _target(
    view: PlanView, source: TableSource, data: Path, views: Sequence[tuple[PlanView, TableSource]]
) -> PushTarget:
    folder = parts_folder(source.path) if source.path.is_file() else source.path
    others = sorted(v.stored_as for v, s in views if s.path == source.path and v.stored_as != view.stored_as)
    return PushTarget(
        view,
        str(folder.relative_to(data) if folder.is_relative_to(data) else folder.absolute()),
        source.timestamp_field,
        source.created_timestamp_column,
        source.renamed,
        tuple(others),
        source.foreign,
    )


class PushedRows:
    """Reads rows for a target, from JSON values or an Arrow table. Raises: NotPushable, UnsupportedType."""

    def __init__(self, project: str, target: PushTarget) -> None:
        self.target, self.view = check_target(target), target.view
        self._reader = PushRowsReader(project, target, json_input.parsers(self.view))

    def parse(self, rows: Sequence[object], at: str = "") -> ParsedRows:
        """Parse JSON rows. Raises: InvalidRows, which points at each invalid value."""
        return self._reader.read(rows, at)

    def batch(self, parsed: Sequence[ParsedRows], now: UtcMicros) -> PushBatch:
        """Parsed rows as a batch that was received at `now` (microseconds). Raises: InvalidRows."""
        try:
            return self._reader.batch(parsed, now, json_input.to_arrow)
        except pa.ArrowException as error:
            raise InvalidRows(self.view.stored_as, (InvalidInput("", str(error)),)) from error


def run(
    project: str,
    target: PushTarget,
    batch: PushBatch,
    data: Path,
    store: SyncOnlineStore,
    now: UtcMicros,
    check: Check = unchecked,
) -> PushResult:
    """Push a batch that was received at `now` (microseconds).

    Raises: InvalidInput, SourceMismatch or an error of `check` before anything is stored; TableRefused.
    """
    view = batch.view
    due = batch.due(now)
    rows = online_rows(batch, packable)
    keys = entity_keys(project, batch)
    table = part_table(target, batch)
    check(table)
    _append(view, data / target.folder, table, now)
    pairs = [(key, row) for key, row, is_due in zip(keys, rows, due.tolist(), strict=True) if is_due]
    try:
        horizon = store.prepare(view).horizon(now)
        won = store.write(view, [key for key, _ in pairs], [row for _, row in pairs], horizon)
        store.introduce(view)
    except (*REFUSALS, RedisUnreachable) as error:
        return PushResult(len(batch), 0, int(np.count_nonzero(~due)), error)
    return PushResult(len(batch), won, int(np.count_nonzero(~due)))


def entity_keys(project: str, batch: PushBatch) -> list[bytes]:
    """The keys of a batch. Raises: InvalidInput for a key that is null or cannot be stored."""
    view = batch.view
    columns: list[list[KeyValue | None]] = [
        (key.cast(pa.int64()) if pa.types.is_timestamp(key.type) else key).to_pylist() for key in batch.keys
    ]
    encoder = EntityKeyEncoder(project, [key.key for key in view.join_keys], [key.dtype for key in view.join_keys])
    keys = []
    for place, key in enumerate(encoder.encode_rows(columns, len(batch))):
        if key is None:
            raise InvalidRows(view.stored_as, (InvalidInput(f"/{place}", "a join key is null"),))
        keys.append(key)
    return keys


def _append(view: PlanView, folder: Path, table: pa.Table, now: UtcMicros) -> None:
    try:
        write_part(folder, table, now)
    except OSError as error:
        raise TableRefused(view.stored_as, error.strerror or type(error).__name__) from error
