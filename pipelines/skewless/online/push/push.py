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
from typing import NamedTuple

import msgspec
import pyarrow as pa

from skewless.contract.errors import InvalidInput, InvalidRows, RemovalUnfinished, SkewlessError
from skewless.contract.plan import PlanView
from skewless.contract.storage.push_batch import (
    ParsedRows,
    PushBatch,
    PushRowsReader,
    batch_beside,
    batch_keys,
    online_rows,
    part_table,
)
from skewless.contract.storage.push_target import PushTarget, check_target
from skewless.contract.timestamps import UtcMicros
from skewless.files.table_parts import write_part
from skewless.offline.tables.source import TableSource, parts_folder
from skewless.offline.values import json_input
from skewless.offline.values.packing import packable
from skewless.online.store.connection import RedisUnreachable
from skewless.online.store.redis_errors import StoreFull, StoreReadOnly, UnwritableKeys
from skewless.online.store.store import SyncOnlineStore
from skewless.runtime.result_counts import ResultCounts

Check = Callable[[pa.Table], None]
"""Called with rows in the format of their table; raises to reject them."""
REFUSALS = (StoreFull, StoreReadOnly, UnwritableKeys, RemovalUnfinished)


@dataclass(frozen=True, slots=True)
class PushResult(ResultCounts):
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


Definitions = Sequence[tuple[PlanView, TableSource]]


def targets(views: Definitions, data: Path, retained: Definitions = ()) -> dict[str, PushTarget]:
    """The push targets of a project's views, by name. Relative folders are relative to `data`.

    `retained` are superseded definitions: they get the rows that are pushed to a definition of their table, and one whose
    view was removed is a target itself.
    """
    current = [_target(view, source, data, views) for view, source in views]
    kept = [_target(view, source, data, views) for view, source in retained]
    by_name = {target.name: target for target in (*reversed(kept), *current)}
    return {name: _beside(target, [*current, *kept]) for name, target in by_name.items()}


def _target(view: PlanView, source: TableSource, data: Path, views: Definitions) -> PushTarget:
    folder = parts_folder(source.path) if source.path.is_file() else source.path
    others = sorted(v.stored_as for v, s in views if s.path == source.path and v.stored_as != view.stored_as)
    return PushTarget(
        view,
        str(folder.relative_to(data) if folder.is_relative_to(data) else folder.absolute()),
        source.timestamp_field,
        source.created_timestamp_column,
        source.renamed,
        # The one view that reads the table of a superseded definition is its successor, and gets its rows too.
        tuple(others) if not source.superseded or len(others) > 1 else (),
        source.foreign,
    )


def _beside(target: PushTarget, all_targets: Sequence[PushTarget]) -> PushTarget:
    """The target with the other definitions of its table."""
    if target.shared_with:
        return target
    same = [other for other in all_targets if other.folder == target.folder and other.view != target.view]
    return msgspec.structs.replace(target, also=tuple(same))


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
    table = part_table(target, batch)
    beside = [batch_beside(other, table) for other in target.also if target.fills(other)]
    due = [_due_rows(project, rows, now) for rows in (batch, *beside)]
    check(table)
    _append(batch.view, data / target.folder, table, now)
    waiting = len(batch) - len(due[0].rows)
    try:
        won, *_ = [_write(rows, store, now) for rows in due]
    except (*REFUSALS, RedisUnreachable) as error:
        return PushResult(len(batch), 0, waiting, error)
    return PushResult(len(batch), won, waiting)


class _DueRows(NamedTuple):
    """The keys and packed rows of a view that may be used now."""

    view: PlanView
    keys: list[bytes]
    rows: list[bytes]


def _due_rows(project: str, batch: PushBatch, now: UtcMicros) -> _DueRows:
    packed = zip(entity_keys(project, batch), online_rows(batch, packable), batch.due(now).tolist(), strict=True)
    due = [(key, row) for key, row, is_due in packed if is_due]
    return _DueRows(batch.view, [key for key, _ in due], [row for _, row in due])


def _write(due: _DueRows, store: SyncOnlineStore, now: UtcMicros) -> int:
    """Write rows to the online store; how many won."""
    return store.push(due.view, due.keys, due.rows, now)


def entity_keys(project: str, batch: PushBatch) -> list[bytes]:
    """The keys of a batch. Raises: InvalidInput for a key that is null or cannot be stored."""
    keys = []
    for place, key in enumerate(batch_keys(project, batch)):
        if key is None:
            raise InvalidRows(batch.view.stored_as, (InvalidInput(f"/{place}", "a join key is null"),))
        keys.append(key)
    return keys


def _append(view: PlanView, folder: Path, table: pa.Table, now: UtcMicros) -> None:
    try:
        write_part(folder, table, now)
    except OSError as error:
        raise TableRefused(view.stored_as, error.strerror or type(error).__name__) from error
