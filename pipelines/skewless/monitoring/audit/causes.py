"""Why a served view is not the joined one: one cause for each difference, decided from evidence alone.

The row that was served is looked for in the offline tables as they are now. Where it is there, the question is why the
join uses another one; where it is not, what was served comes from nowhere that training sees. The causes are tried in
the order of `SkewCause`: where evidence fits several, the first that fits is named.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from skewless.contract.admission import MISSING, Flags
from skewless.contract.timestamps import UtcMicrosArray


class SkewCause(StrEnum):
    """In the order in which they are tried; corruption is what no evidence explains."""

    DEFAULT_USED = "default used"
    DEFINITION_CHANGED = "definition changed"
    NOT_MATERIALIZED = "not yet materialized"
    DELETION = "deletion"
    CORRECTION = "correction"
    LATE_DATA = "late data"
    STORE_AHEAD = "store ahead"
    CORRUPTION = "corruption"
    TRANSFORM = "transform"
    SCORE = "score"


MEANINGS = {
    SkewCause.DEFAULT_USED: "the online store failed, and defaults were used",
    SkewCause.DEFINITION_CHANGED: "what was served is in no table now, and the feature view's definition is not the bundle's",
    SkewCause.NOT_MATERIALIZED: "the row was known, and no materialization that covers its arrival had finished by then",
    SkewCause.DELETION: "a tombstone reached the table after it was materialized, or after it was served",
    SkewCause.CORRECTION: "a row of the same event time, known later, reached the table after the one that was served",
    SkewCause.LATE_DATA: "a row of a newer event time reached the table after it was materialized, or after it was served",
    SkewCause.STORE_AHEAD: "the store held a row that was not known yet at that time: a request as of the past, or clocks "
    "that differ",
    SkewCause.CORRUPTION: "what was served is unlike every offline row: the store, the log or the table was altered",
    SkewCause.TRANSFORM: "the values that the transform was given are the join's, and its result is another",
    SkewCause.SCORE: "the published model scores the logged input otherwise",
}


MENDS = {
    SkewCause.DEFAULT_USED: "look for why the store did not answer then; `skewless models policy MODEL --on-store-failure "
    "reject` refuses such requests instead",
    SkewCause.DEFINITION_CHANGED: "train and publish a version on today's definition (`skewless retrain`), or undo the change: "
    "what means something else deserves another name",
    SkewCause.NOT_MATERIALIZED: "materialize more often, or push the rows; `skewless audit what-if` tells what each schedule is "
    "worth",
    SkewCause.DELETION: "let a tombstone's created time be the time at which it arrives, and the next run takes it; `skewless "
    "verify --repair` brings online what was missed",
    SkewCause.CORRECTION: "let a correction's created time be the time at which it arrives, and the join waits for it as the "
    "server had to; `skewless verify --repair` brings online what was missed",
    SkewCause.LATE_DATA: "let a row's created time be the time at which it arrives, and the join waits for it as the server had "
    "to; `skewless verify --repair` brings online what was missed",
    SkewCause.STORE_AHEAD: "nothing where requests name a time of the past (`as_of`); else set the clocks of those who write "
    "rows and those who serve",
    SkewCause.CORRUPTION: "`skewless verify` says whether the store still holds it, and `--repair` mends that; find out who else "
    "writes to that Redis, the log or the table",
    SkewCause.TRANSFORM: "a bundle is never changed: publish what was meant as a new version",
    SkewCause.SCORE: "a bundle is never changed, nor is the log: publish what was meant as a new version",
}
"""What to do about each."""


@dataclass(frozen=True, slots=True)
class ViewEvidence:
    """About one view for m served rows that differ in it. Times are microseconds, MISSING where there is no row.

    `unread`: the server said that it could not read the view, and yet a value of it was logged. `known`: the served row, with its values, is in the
    offline table (also where no row was served). `replaced`: it is not, but one of its event time and a greater created
    time is. `covered`: a run that took the joined row's arrival had finished when it was served. `same_values`: served
    and joined values are equal. `changed`: the view's definition is not the bundle's any more.
    """

    at: UtcMicrosArray
    served: tuple[UtcMicrosArray, UtcMicrosArray]
    joined: tuple[UtcMicrosArray, UtcMicrosArray]
    tombstone: Flags
    unread: Flags
    known: Flags
    replaced: Flags
    covered: Flags
    same_values: Flags
    changed: bool

    @property
    def newer(self) -> Flags:
        """Whether the join uses a newer row than was served."""
        (event, created), (then, known) = self.joined, self.served
        newer: Flags = (event != MISSING) & ((then == MISSING) | (event > then) | ((event == then) & (created > known)))
        return newer

    @property
    def same_row(self) -> Flags:
        (event, created), (then, known) = self.joined, self.served
        same: Flags = (event == then) & (created == known)
        return same


def _definition(one: ViewEvidence) -> Flags:
    return np.full(len(one.at), one.changed) & (~one.known | (one.same_row & one.same_values))


def _not_materialized(one: ViewEvidence) -> Flags:
    waited: Flags = one.known & _elsewhere(one) & (one.joined[1] <= one.at) & ~one.covered
    return waited


def _deletion(one: ViewEvidence) -> Flags:
    return one.known & one.newer & one.tombstone


def _correction(one: ViewEvidence) -> Flags:
    again: Flags = one.known & _elsewhere(one) & (one.joined[0] == one.served[0]) & (one.joined[0] != MISSING)
    instead: Flags = ~one.known & one.replaced
    return again | instead


def _elsewhere(one: ViewEvidence) -> Flags:
    """Whether the join uses a row that is newer, or as new and another."""
    return one.newer | (one.same_row & ~one.same_values)


def _ahead(one: ViewEvidence) -> Flags:
    return one.known & ~one.newer & ~one.same_row


_TRIED: tuple[tuple[SkewCause, Callable[[ViewEvidence], Flags]], ...] = (
    (SkewCause.CORRUPTION, lambda one: one.unread),  # an unread view is replayed as unread: the log was altered
    (SkewCause.DEFINITION_CHANGED, _definition),
    (SkewCause.NOT_MATERIALIZED, _not_materialized),
    (SkewCause.DELETION, _deletion),
    (SkewCause.CORRECTION, _correction),
    (SkewCause.LATE_DATA, lambda one: one.known & one.newer),
    (SkewCause.STORE_AHEAD, _ahead),
)


def decide(evidence: ViewEvidence) -> NDArray[np.object_]:
    """The cause of each of the m differences; what no evidence explains is corruption."""
    found = np.full(len(evidence.at), SkewCause.CORRUPTION, np.object_)
    open_ = np.ones(len(evidence.at), bool)
    for cause, fits in _TRIED:
        hit = open_ & fits(evidence)
        found[hit] = cause
        open_ &= ~hit
    return found
