"""One feature view joined to a spine, keys first: decide the rows by their keys and times, then fetch just those.

The first pass reads join keys and times of the row groups that can matter and decides the row numbers
(`skewless.offline.join.as_of_match`); the second reads the features of the row groups that hold an answer.

Held by tests/offline/join/test_point_in_time.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from skewless.contract.admission import MISSING, FeatureStatus
from skewless.contract.columns import EntityRows, Flags, column_values
from skewless.contract.model.assembler import AdmittedRows
from skewless.contract.plan import Field, PlanView
from skewless.contract.storage.packed_row import layout_of
from skewless.contract.storage.row_header import AFTER_SCHEMA
from skewless.contract.timestamp_arrays import UtcMicrosArray
from skewless.contract.timestamps import UtcMicros
from skewless.contract.value_types import ValueType, value_type
from skewless.offline.files.parquet_reader import RowGroup, runs
from skewless.offline.join.as_of_match import AsOfMatch, MatchedRows
from skewless.offline.join.entity_codes import EntityCodes
from skewless.offline.join.memory_budget import JoinBounds
from skewless.offline.join.threads import each
from skewless.offline.join.view_table import FeatureRows, Numbers, ViewTable, joined

Tick = Callable[[int], None]
"""Called with the number of row groups that were read since the last call."""
_TIES_AT_ONCE = 1 << 16


@dataclass(frozen=True, slots=True)
class ViewRequest:
    """The join of one view to a block of n spine rows: join keys, the instants up to which rows are known, and those at
    which staleness is judged. Without `statuses` only values are wanted, and a stale row may be reported as not found.
    """

    keys: tuple[pa.Array, ...]
    known: UtcMicrosArray
    at: UtcMicrosArray
    statuses: bool


@dataclass(frozen=True, slots=True)
class ViewAnswer:
    """A view's values for n spine rows: the rows used (MISSING times where there is none), their `FeatureStatus`, and the
    wanted features as packed rows take them, null unless the view is PRESENT.

    `waiting` counts the rows that have no value only because none was known yet: it had happened within the ttl.
    """

    fields: tuple[Field, ...]
    event: UtcMicrosArray
    created: UtcMicrosArray
    deleted: Flags
    status: NDArray[np.uint8]
    columns: tuple[pa.Array, ...]
    waiting: int

    def admitted(self) -> AdmittedRows:
        """The same as the assembler takes it."""
        kinds = [value_type(field.dtype) for field in self.fields]
        values = tuple(column_values(kind, column) for kind, column in zip(kinds, self.columns, strict=True))
        return AdmittedRows(EntityRows(self.event, self.created, self.deleted, values), self.status)

    def typed_columns(self) -> list[TypedColumn]:
        """The wanted features with their types."""
        pairs = zip(self.fields, self.columns, strict=True)
        return [TypedColumn(value_type(field.dtype), column) for field, column in pairs]


@dataclass(frozen=True, slots=True)
class TypedColumn:
    """A feature's type, and its values as packed rows take them."""

    kind: ValueType
    column: pa.Array


def assemble_column(parts: Sequence[TypedColumn], stored: pa.DataType | None = None) -> pa.ChunkedArray:
    """The parts of one feature as one column. Lists, maps and structs are converted all at once, since the type of a map
    depends on its values, where that of its table (`stored`) is not given.
    """
    kind = parts[0].kind
    whole = pa.chunked_array([part.column for part in parts])
    if kind.encoding != "value":
        return whole
    # Feast takes seconds to import, and few views hold values of these types.
    from skewless.offline.values.arrow_answers import answer  # noqa: PLC0415

    return pa.chunked_array([answer(kind, column_values(kind, pa.concat_arrays(whole.chunks)), stored)])


class ViewJoin:
    """Compiled from a view's opened table and the bounds of memory."""

    def __init__(self, view: PlanView, table: ViewTable, bounds: JoinBounds) -> None:
        self.view, self.table, self._bounds = view, table, bounds

    def row_groups(self, request: ViewRequest) -> list[RowGroup]:
        """The row groups that may hold an answer by the statistics of their event times: not those that begin after
        the last instant, nor, without `statuses`, those that are stale for the first instant.

        Row groups whose rows became known too late are included: `waiting` counts those rows.
        """
        if not len(request.known):
            return []
        last, ttl = int(request.known.max()), self.view.ttl_us
        first = int(request.at.min()) - ttl if ttl and not request.statuses else None
        return [group for group in self.table.parquet.row_groups if _may_answer(group, first, last)]

    def run(self, request: ViewRequest, tick: Tick) -> ViewAnswer:
        """Raises: SourceMismatch."""
        groups = self.row_groups(request)
        matches = self._match(request, groups, tick)
        rows = self._break_ties(matches, groups)
        order = np.argsort(rows)
        rank = np.empty(len(order), np.int64)
        rank[order] = np.arange(len(order))
        fetched = self._fetch(groups, rows[order], self.table.wanted, tick)
        matched = matches.answer >= 0
        picks = rank[matches.answer] if len(rank) else np.zeros(len(matched), np.int64)
        event = _placed(matches.event, matches.answer, MISSING)
        created = _placed(matches.created, matches.answer, MISSING)
        deleted = np.zeros(len(matched), bool)
        deleted[matched] = fetched.deleted[picks[matched]]
        status = self.view.rule.status(event, created, deleted, request.at)
        positions = pa.array(picks, mask=status != FeatureStatus.PRESENT)
        return ViewAnswer(
            self.table.wanted,
            event,
            created,
            deleted,
            status,
            tuple(column.take(positions) for column in fetched.columns),
            self._waiting(status, event, matches.hidden, request.at),
        )

    def _match(self, request: ViewRequest, groups: Sequence[RowGroup], tick: Tick) -> MatchedRows:
        entities = EntityCodes(request.keys, len(request.known))
        newest = AsOfMatch(entities.codes, entities.count, request.known, self.view.rule)

        def offer(run: list[RowGroup]) -> int:
            for part in self.table.keys_and_times(run, self._bounds.rows_a_batch):
                codes = entities.of(part.keys, len(part.rows))
                newest.offer(codes, part.event, part.created, part.rows)
            return len(run)

        for done in each(offer, runs(groups, self._bounds.rows_a_batch), self._bounds.workers):
            tick(done)
        return newest.matches()

    def _break_ties(self, matches: MatchedRows, groups: Sequence[RowGroup]) -> Numbers:
        """The answers' row numbers; of rows that tie, the one with the greatest packed bytes. Ties are read in batches."""
        rows = matches.rows.copy()
        order = np.argsort(matches.ties.answers, kind="stable")
        answers, others = matches.ties.answers[order], matches.ties.rows[order]
        begin = 0
        while begin < len(answers):
            end = int(np.searchsorted(answers, answers[min(begin + _TIES_AT_ONCE, len(answers)) - 1], side="right"))
            some = np.unique(answers[begin:end])
            of = np.concatenate((some, answers[begin:end]))
            for place, row in self._greatest(of, np.concatenate((rows[some], others[begin:end])), matches, groups):
                rows[place] = row
            begin = end
        return rows

    def _greatest(
        self, answers: Numbers, rows: Numbers, matches: MatchedRows, groups: Sequence[RowGroup]
    ) -> list[tuple[int, int]]:
        """For each answer the row with the greatest packed bytes, compared behind the schema's fingerprint."""
        order = np.argsort(rows)
        answers, rows = answers[order], rows[order]
        fetched = self._fetch(groups, rows, self.view.fields, lambda _: None)
        packed = layout_of(self.view.fields).encode(
            matches.event[answers], matches.created[answers], fetched.deleted, fetched.columns
        )
        best: dict[int, tuple[bytes, int]] = {}
        for place, row, content in zip(answers.tolist(), rows.tolist(), packed, strict=True):
            candidate = (content[AFTER_SCHEMA], row)
            best[place] = max(best.get(place, candidate), candidate)
        return [(place, row) for place, (_, row) in best.items()]

    def _fetch(self, groups: Sequence[RowGroup], numbers: Numbers, fields: Sequence[Field], tick: Tick) -> FeatureRows:
        """The rows of these numbers (ascending) out of the row groups that hold any of them."""
        begin, end = (
            np.searchsorted(numbers, [group.first + past * group.rows for group in groups]) for past in (0, 1)
        )
        needed = [group for group, low, high in zip(groups, begin, end, strict=True) if low < high]
        tick(len(groups) - len(needed))
        parts = []

        def fetch(run: list[RowGroup]) -> tuple[int, FeatureRows]:
            return len(run), self.table.fetch(run, numbers, fields, self._bounds.rows_a_fetch)

        for done, part in each(fetch, runs(needed, self._bounds.rows_a_fetch), self._bounds.workers):
            parts.append(part)
            tick(done)
        return joined(parts, fields)

    def _waiting(
        self, status: NDArray[np.uint8], event: UtcMicrosArray, hidden: UtcMicrosArray, at: UtcMicrosArray
    ) -> int:
        """How many rows have no value but would have a fresh one if rows were known by their event time."""
        without = (status == FeatureStatus.NOT_FOUND) | (status == FeatureStatus.STALE)
        newer = (hidden != MISSING) & ((event == MISSING) | (hidden > event))
        fresh = newer if not self.view.ttl_us else newer & (at - np.where(newer, hidden, at) <= self.view.ttl_us)
        return int(np.count_nonzero(without & fresh))


def concatenate_answers(parts: Sequence[ViewAnswer]) -> ViewAnswer:
    """The answers of consecutive blocks as one."""
    if len(parts) == 1:
        return parts[0]
    return ViewAnswer(
        parts[0].fields,
        np.concatenate([part.event for part in parts]),
        np.concatenate([part.created for part in parts]),
        np.concatenate([part.deleted for part in parts]),
        np.concatenate([part.status for part in parts]),
        tuple(pa.concat_arrays(columns) for columns in zip(*(part.columns for part in parts), strict=True)),
        sum(part.waiting for part in parts),
    )


def _may_answer(group: RowGroup, first: UtcMicros | None, last: int) -> bool:
    if group.event is None:
        return True
    return group.event.least <= last and (first is None or group.event.greatest >= first)


def _placed(times: UtcMicrosArray, answers: Numbers, missing: int) -> UtcMicrosArray:
    matched = answers >= 0
    placed = np.full(len(answers), missing, np.int64)
    placed[matched] = times[answers[matched]]
    return placed
