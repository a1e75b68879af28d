"""Decides which row of a table answers each spine row, while the table's rows stream by in any order.

The spine is sorted by entity and instant; its rows are *slots*. A table's row may be used from `available_at` on (the
admission rule), so it counts for the first slot of its entity at or after that instant and for all later ones. Each
slot keeps the greatest `(event, created)` that counts from there; at the end a running maximum within each entity
gives every slot its answer. So memory goes with the spine and never with the table, and each row is looked at once.

Of rows with equal times in both the one with the greatest packed bytes (tombstones first) is used, as online: where
those are lies in the table, so such rows are only noted here (`MatchedRows.ties`) and settled by who can read them.

Held by tests/offline/join/test_point_in_time.py.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skewless.contract.admission import MISSING, AdmissionRule
from skewless.contract.columns import Flags
from skewless.contract.timestamp_arrays import UtcMicrosArray
from skewless.offline.join.entity_codes import Codes

Places = NDArray[np.int64]
_Tied = tuple[Places, UtcMicrosArray, UtcMicrosArray, Places]
_TIES_HELD = 1 << 18
_EARLIEST = np.iinfo(np.int64).min
_LARGEST = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class TiedRows:
    """Rows that share both times with the row of an answer: `answers` are places in `MatchedRows.rows`, `rows` the rows."""

    answers: Places
    rows: Places


@dataclass(frozen=True, slots=True)
class MatchedRows:
    """The rows that answer some spine row: their numbers in the table and their times; for each of the n spine rows
    the place of its answer among them, or -1; and the rows that tie with an answer.

    `hidden` is, for each spine row, the time of a newer event that had happened but was not known yet, or MISSING.
    """

    rows: Places
    event: UtcMicrosArray
    created: UtcMicrosArray
    answer: Places
    hidden: UtcMicrosArray
    ties: TiedRows


class AsOfMatch:
    """Matches the rows of a table to n spine rows, given as entity codes and instants. `offer` may be called from several threads."""

    def __init__(self, codes: Codes, entities: int, at: UtcMicrosArray, rule: AdmissionRule) -> None:
        self._rule = rule
        self._rows = len(codes)
        known = np.flatnonzero(codes >= 0)
        self._line = _EntityTimeline(at[known], entities)
        position = self._line.position(codes[known], at[known])
        order = np.argsort(position)
        self._slots = known[order]
        self._position = position[order]
        self._code = codes[self._slots]
        ends = np.searchsorted(self._code, np.arange(entities), side="right")
        self._ends = ends
        self._last = np.full(entities, _EARLIEST, np.int64)
        self._last[ends > 0] = at[self._slots[ends[ends > 0] - 1]]
        self._event = np.full(len(order), _EARLIEST, np.int64)
        self._created = self._event.copy()
        self._row = np.full(len(order), -1, np.int64)
        self._hidden = self._event.copy() if rule.known_by == "created_timestamp" else None
        self._tied: list[_Tied] = []
        self._noted, self._room = 0, max(_TIES_HELD, len(order))
        self._lock = threading.Lock()

    def offer(self, codes: Codes, event: UtcMicrosArray, created: UtcMicrosArray, rows: Places) -> None:
        """Consider some rows of the table: entity codes (-1: not in the spine), times and row numbers."""
        if not len(self._slots):
            return
        available = self._rule.available_at(event, created)
        usable = (event if self._hidden is not None else available) <= self._last[codes]
        usable &= codes >= 0
        kept = np.flatnonzero(usable)
        codes, available = codes[kept], available[kept]
        # In the slots' order, so that searches and look-ups walk through memory instead of jumping.
        position = self._line.position(codes, available)
        order = np.argsort(position)
        slot = np.searchsorted(self._position, position[order])
        codes, kept = codes[order], kept[order]
        event, created, rows = event[kept], created[kept], rows[kept]
        if self._hidden is not None:
            self._note_hidden(self._hidden, codes, event, slot)
            reached = slot < self._ends[codes]
            if not reached.all():
                slot, event, created, rows = slot[reached], event[reached], created[reached], rows[reached]
        with self._lock:
            self._take(slot, event, created, rows)

    def _note_hidden(self, hidden: UtcMicrosArray, codes: Codes, event: UtcMicrosArray, slot: Places) -> None:
        """Rows that some slot would have used by their event time, before they were known."""
        early = self._line.position(codes, event)
        before = np.flatnonzero(self._position[slot - 1] >= early)
        before = before[slot[before] > 0]
        if len(before):
            first = np.searchsorted(self._position, early[before])
            with self._lock:
                np.maximum.at(hidden, first, event[before])

    def _take(self, slot: Places, event: UtcMicrosArray, created: UtcMicrosArray, rows: Places) -> None:
        """Keep in each slot the greatest (event, created), and note rows that share both."""
        before = self._event[slot]
        np.maximum.at(self._event, slot, event)
        top = np.flatnonzero(event == self._event[slot])
        slot, event, created, rows, before = slot[top], event[top], created[top], rows[top], before[top]
        newer = slot[event > before]
        self._created[newer], self._row[newer] = _EARLIEST, -1
        before = self._created[slot]
        np.maximum.at(self._created, slot, created)
        top = np.flatnonzero(created == self._created[slot])
        slot, event, created, rows, before = slot[top], event[top], created[top], rows[top], before[top]
        self._row[slot[created > before]] = -1
        previous = self._row[slot]
        self._row[slot] = rows
        won = self._row[slot] == rows
        lost = np.where(won, previous, rows)
        tied = np.flatnonzero(lost >= 0)
        if len(tied):
            self._tied.append((slot[tied], event[tied], created[tied], lost[tied]))
            self._noted += len(tied)
            if self._noted > self._room:
                self._tied = [self._still_tied()]
                self._noted = len(self._tied[0][0])
                self._room = max(self._room, 2 * self._noted)

    def matches(self) -> MatchedRows:
        """The answers, once every row was offered."""
        best = _running_newest(self._code, self._event, self._row >= 0)
        used = np.zeros(len(best), bool)
        used[best[best >= 0]] = True
        slots = np.flatnonzero(used)
        place = np.cumsum(used) - 1
        answer = np.full(self._rows, -1, np.int64)
        answer[self._slots] = np.where(best >= 0, place[best], -1)
        return MatchedRows(
            self._row[slots],
            self._event[slots],
            self._created[slots],
            answer,
            self._hidden_events(),
            self._ties(used, place),
        )

    def _hidden_events(self) -> UtcMicrosArray:
        """For each spine row the newest event that had happened and was, at its time or before, not known yet."""
        result = np.full(self._rows, MISSING, np.int64)
        if self._hidden is not None:
            filled = self._hidden > _EARLIEST
            newest = _running_newest(self._code, self._hidden, filled)
            result[self._slots[newest >= 0]] = self._hidden[newest[newest >= 0]]
        return result

    def _ties(self, used: Flags, place: Places) -> TiedRows:
        if not self._tied:
            return TiedRows(np.zeros(0, np.int64), np.zeros(0, np.int64))
        slot, _, _, rows = self._still_tied()
        matters = used[slot]
        return TiedRows(place[slot[matters]], rows[matters])

    def _still_tied(self) -> _Tied:
        """The noted ties without those that a newer row has settled."""
        slot, event, created, rows = (np.concatenate(parts) for parts in zip(*self._tied, strict=True))
        still = (event == self._event[slot]) & (created == self._created[slot])
        return slot[still], event[still], created[still], rows[still]


def _running_newest(code: Codes, event: UtcMicrosArray, has_row: Flags) -> Places:
    """For each slot the slot at or before it, of the same entity, with the greatest event; of equal ones the last,
    which has the greater created time, since it became available later. -1 where there is none.
    """
    filled = np.flatnonzero(has_row)
    result = np.full(len(code), -1, np.int64)
    if not len(filled):
        return result
    line = _EntityTimeline(event[filled], int(code[-1]) + 1)
    position = line.position(code[filled], event[filled])
    leading = np.where(position == np.maximum.accumulate(position), filled, -1)
    result[filled] = leading
    result = np.maximum.accumulate(result)
    return np.where((result >= 0) & (code[result] == code), result, -1)


class _EntityTimeline:
    """Puts (entity, instant) on one line of integers, entity by entity, instants in order within each.

    `instants` are those that must stay distinct; any other takes the place of the first of them at or after it.
    """

    def __init__(self, instants: UtcMicrosArray, entities: int) -> None:
        self._first = int(instants.min(initial=_LARGEST)) if len(instants) else 0
        self._after = int(instants.max()) + 1 if len(instants) else 0
        self._span = self._after - self._first + 1
        self._known: UtcMicrosArray | None = None
        if self._after > _LARGEST or entities * self._span > _LARGEST:
            self._known = np.unique(instants)
            self._span = len(self._known) + 1

    def position(self, codes: Codes, instants: UtcMicrosArray) -> Places:
        if self._known is not None:
            return codes * self._span + np.searchsorted(self._known, instants)
        return codes * self._span + (np.clip(instants, self._first, self._after) - self._first)
