"""The point-in-time join: for each spine row, each view's newest row that was known by then.

Keys first (`skewless.offline.join.view_join`), views one after the other with all workers on each, in bounded memory
(`skewless.offline.join.memory_budget`), block by block where the spine is long. `PointInTimeJoin` is compiled from plan, sources and spine, and
has checked them; `blocks` runs it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from skewless.contract.columns import ColumnValues, column_values
from skewless.contract.model.assembler import AdmittedRows, wanted_features
from skewless.contract.plan import Field, Plan, PlanView, StoredFeature
from skewless.contract.timestamp_arrays import UtcMicrosArray
from skewless.contract.value_types import value_type
from skewless.offline.join.memory_budget import bounds
from skewless.offline.join.threads import worker_count
from skewless.offline.join.view_join import (
    TypedColumn,
    ViewAnswer,
    ViewJoin,
    ViewRequest,
    assemble_column,
    concatenate_answers,
)
from skewless.offline.join.view_table import ViewTable
from skewless.offline.tables.columns import cast, join_key, time_column
from skewless.offline.tables.source import TableSource
from skewless.runtime.errors import SourceMismatch, SpineMismatch
from skewless.runtime.progress import Report, quiet
from skewless.runtime.settings import DEFAULT_JOIN_MEMORY

Places = NDArray[np.int64]
TIMESTAMP = "event_timestamp"


@dataclass(frozen=True, slots=True)
class SpineBlock:
    """`rows` spine rows from `start` on, and the answer of each view of the plan for them, in their order."""

    start: int
    rows: int
    views: dict[str, ViewAnswer]


class PointInTimeJoin:
    """Compiled from a plan, its sources and a spine with `event_timestamp` and the plan's join keys.

    With `read_at` (n instants, at most the spine's times) the answer is what an online store holds that was last
    filled then: rows known by `read_at`, judged stale at the spine's time. Without `statuses` only values are wanted,
    and rows that are too old to give one need not be read. `memory` is the budget in bytes: see `join_memory`.
    Raises: SpineMismatch, SourceMissing, SourceMismatch.
    """

    def __init__(
        self,
        plan: Plan,
        sources: Mapping[str, TableSource],
        spine: pa.Table,
        *,
        read_at: UtcMicrosArray | None = None,
        statuses: bool = True,
        memory: int = DEFAULT_JOIN_MEMORY,
    ) -> None:
        self.plan = plan
        self._statuses = statuses
        self._at = spine_times(spine)
        self._known = self._at if read_at is None else read_at
        wanted = wanted_features(plan)
        self.bounds = bounds(memory, list(wanted.values()), worker_count())
        self.views = [
            ViewJoin(view, self._table(view, sources[view.name], wanted[view.name]), self.bounds) for view in plan.views
        ]
        keys = [(key, view.table.numbered(key)) for view in self.views for key in view.view.join_keys]
        texts = {key.name for key, numbered in keys if not numbered}
        self._keys = {
            key.name: spine_column(spine, key.name, key.dtype, numbers=key.name not in texts) for key in plan.join_keys
        }

    def _table(self, view: PlanView, source: TableSource, wanted: Sequence[Field]) -> ViewTable:
        files = source.files(until=int(self._known.max())) if len(self._known) else []
        return ViewTable(view, source, files, wanted)

    def blocks(self, report: Report = quiet) -> Iterator[SpineBlock]:
        """The answers, a block of the spine at a time (an empty one for an empty spine) of as many rows as memory
        allows. Calls `report` with the view's name before each view and as its row groups are read; they
        count twice, for keys and for features. Raises: SourceMismatch.
        """
        starts = self.starts()
        rows = starts.step
        total = sum(2 * len(view.row_groups(self.request(view, at, rows))) for at in starts for view in self.views)
        done = 0
        for start in starts:
            answer = {}
            for view in self.views:
                name = view.view.name
                report(name, done, total)

                def tick(more: int, name: str = name) -> None:
                    nonlocal done
                    done += more
                    report(name, done, total)

                answer[name] = view.run(self.request(view, start, rows), tick)
            yield SpineBlock(start, min(rows, self.rows - start), answer)

    @property
    def rows(self) -> int:
        return len(self._at)

    def starts(self) -> range:
        """Where the blocks begin."""
        return range(0, max(self.rows, 1), self.bounds.rows_a_block)

    def whole(self, report: Report = quiet) -> dict[str, ViewAnswer]:
        """All blocks as one. Raises: SourceMismatch."""
        blocks = [block.views for block in self.blocks(report)]
        return {name: concatenate_answers([block[name] for block in blocks]) for name in blocks[0]}

    def request(self, view: ViewJoin, start: int, rows: int) -> ViewRequest:
        """The request of `rows` spine rows from `start` on to a view."""
        keys = tuple(self._keys[key.name].slice(start, rows) for key in view.view.join_keys)
        some = slice(start, start + rows)
        return ViewRequest(keys, self._known[some], self._at[some], self._statuses)


@dataclass(frozen=True, slots=True)
class JoinedFeatures:
    """Every feature that a plan wants as an Arrow column in the spine's order, null unless its view is PRESENT; and for
    each view how many rows have no value only because none was known yet (`explain.waiting_warning` puts it in words).
    """

    columns: dict[StoredFeature, pa.ChunkedArray]
    waiting: dict[str, int]


def answers(blocks: Iterable[SpineBlock], stored: Mapping[StoredFeature, pa.DataType] | None = None) -> JoinedFeatures:
    """The values of consecutive blocks. `stored` are the types of the maps in their tables: see `assemble_column`."""
    types = stored or {}
    parts: dict[StoredFeature, list[TypedColumn]] = {}
    waiting: dict[str, int] = {}
    for block in blocks:
        for name, answer in block.views.items():
            waiting[name] = waiting.get(name, 0) + answer.waiting
            for field, column in zip(answer.fields, answer.typed_columns(), strict=True):
                parts.setdefault(StoredFeature(name, field.name), []).append(column)
    return JoinedFeatures({name: assemble_column(column, types.get(name)) for name, column in parts.items()}, waiting)


def join(
    plan: Plan,
    sources: Mapping[str, TableSource],
    spine: pa.Table,
    *,
    read_at: UtcMicrosArray | None = None,
    report: Report = quiet,
    memory: int = DEFAULT_JOIN_MEMORY,
) -> dict[str, AdmittedRows]:
    """The admitted rows of every view of the plan for each of the n spine rows, in spine order: see `PointInTimeJoin`.

    Raises: SpineMismatch, SourceMissing, SourceMismatch.
    """
    answer = PointInTimeJoin(plan, sources, spine, read_at=read_at, memory=memory).whole(report)
    return {name: view.admitted() for name, view in answer.items()}


def request_values(plan: Plan, spine: pa.Table) -> dict[str, ColumnValues]:
    """The request inputs that a spine carries. Raises: SpineMismatch."""
    return {
        field.name: column_values(value_type(field.dtype), spine_column(spine, field.name, field.dtype))
        for field in plan.request
    }


def spine_times(spine: pa.Table) -> UtcMicrosArray:
    """The spine's times in microseconds. Raises: SpineMismatch."""
    if TIMESTAMP not in spine.column_names:
        raise SpineMismatch(TIMESTAMP, f"is absent; the spine has {spine.column_names}")
    try:
        return time_column("", TIMESTAMP, spine.column(TIMESTAMP))
    except SourceMismatch as error:
        place = "" if error.row is None else f", first in row {error.row} (counted from 0)"
        raise SpineMismatch(TIMESTAMP, f"{error.reason}{place}") from error


def spine_column(spine: pa.Table, name: str, dtype: str, *, numbers: bool = False) -> pa.Array:
    """A column of the spine in its declared type; with `numbers` it may be whole numbers where that is text.

    Raises: SpineMismatch.
    """
    if name not in spine.column_names:
        raise SpineMismatch(name, f"is absent; the spine has {spine.column_names}")
    column, kind = spine.column(name), value_type(dtype)
    try:
        return join_key("", name, column, kind) if numbers else cast("", name, column, kind.arrow)
    except SourceMismatch as error:
        raise SpineMismatch(name, error.reason) from error
