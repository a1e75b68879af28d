"""Decides why a served view differs from the joined view: view cause for each difference, from evidence alone.

The served row is looked up in the offline tables as they are now. If it is in the table, the question is why the join uses
another row; if it is not, the served values come from no source that training reads. The causes are tried in the order of
`SkewCause`: where the evidence fits several, the first view is named.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from skewless.contract.admission import MISSING
from skewless.contract.columns import Flags
from skewless.contract.timestamp_arrays import UtcMicrosArray


class SkewCause(StrEnum):
    """Causes of a difference, in the order in which they are tried; corruption is what no evidence explains."""

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
    SkewCause.DEFINITION_CHANGED: "the served row is in no table now, and the feature view's definition has changed since the "
    "bundle was published",
    SkewCause.NOT_MATERIALIZED: "the row had arrived, but no materialization that covers its arrival had finished by then",
    SkewCause.DELETION: "a tombstone reached the table after it was materialized, or after it was served",
    SkewCause.CORRECTION: "a row of the same event time, known later, reached the table after the view that was served",
    SkewCause.LATE_DATA: "a row of a newer event time reached the table after it was materialized, or after it was served",
    SkewCause.STORE_AHEAD: "the online store had a row that was created after the request's time: the request was as of the "
    "past, or clocks differ",
    SkewCause.CORRUPTION: "what was served equals no offline row: the store, the log or the table was altered",
    SkewCause.TRANSFORM: "the transform's inputs equal the join's, but its result differs",
    SkewCause.SCORE: "the published model gives another score for the logged input",
}
"""What each cause means."""


REMEDIES = {
    SkewCause.DEFAULT_USED: "find out why the store did not answer then; `skewless models policy MODEL --on-store-failure "
    "reject` refuses such requests instead",
    SkewCause.DEFINITION_CHANGED: "train and publish a version on the current definition (`skewless retrain`), or undo the "
    "change: a feature with another meaning should have another name",
    SkewCause.NOT_MATERIALIZED: "materialize more often, or push the rows; `skewless audit what-if` shows what each schedule "
    "is worth",
    SkewCause.DELETION: "set a tombstone's created time to the time at which it arrives, and the next run takes it; `skewless "
    "verify --repair` writes missed rows to the online store",
    SkewCause.CORRECTION: "set a correction's created time to the time at which it arrives, and the join waits for it as the "
    "server had to; `skewless verify --repair` writes missed rows to the online store",
    SkewCause.LATE_DATA: "set a row's created time to the time at which it arrives, and the join waits for it as the server "
    "had to; `skewless verify --repair` writes missed rows to the online store",
    SkewCause.STORE_AHEAD: "nothing to do where requests name a time of the past (`as_of`); otherwise synchronize the clocks "
    "of the writers and the servers",
    SkewCause.CORRUPTION: "`skewless verify` checks whether the store still has the wrong row, and `--repair` replaces it; "
    "find out what else writes to that Redis, the log or the table",
    SkewCause.TRANSFORM: "publish the changed bundle as a new version: a published bundle must never be edited",
    SkewCause.SCORE: "publish the changed bundle as a new version: neither a published bundle nor the log may be edited",
}
"""What to do about each cause."""


@dataclass(frozen=True, slots=True)
class ViewEvidence:
    """The evidence about one view for m served rows that differ in it. `served` and `joined` are (event, created) times.

    Times are microseconds, MISSING where there is no row. `unread`: the logged status says that the server could not read
    the view, and yet a value of it was logged. `in_table`: the served row, with its values, is in the offline table (true
    also where no row was served). `replaced`: it is not, but a row of its event time and a greater created time is.
    `materialized`: a materialization that covers the joined row's arrival had finished at `served_at`. `same_values`:
    served and joined values are equal. `definition_changed`: the view's registered definition is not the bundle's.
    """

    served_at: UtcMicrosArray
    served: tuple[UtcMicrosArray, UtcMicrosArray]
    joined: tuple[UtcMicrosArray, UtcMicrosArray]
    tombstone: Flags
    unread: Flags
    in_table: Flags
    replaced: Flags
    materialized: Flags
    same_values: Flags
    definition_changed: bool

    @property
    def newer(self) -> Flags:
        """Where the join uses a newer row than was served."""
        (event, created), (served, since) = self.joined, self.served
        later: Flags = (served == MISSING) | (event > served) | ((event == served) & (created > since))
        newer: Flags = (event != MISSING) & later
        return newer

    @property
    def same_row(self) -> Flags:
        """Where the join uses the row that was served."""
        (event, created), (served, since) = self.joined, self.served
        same: Flags = (event == served) & (created == since)
        return same


def _definition(view: ViewEvidence) -> Flags:
    return np.full(len(view.served_at), view.definition_changed) & (~view.in_table | (view.same_row & view.same_values))


def _not_materialized(view: ViewEvidence) -> Flags:
    waiting: Flags = view.in_table & _other_row(view) & (view.joined[1] <= view.served_at) & ~view.materialized
    return waiting


def _deletion(view: ViewEvidence) -> Flags:
    return view.in_table & view.newer & view.tombstone


def _correction(view: ViewEvidence) -> Flags:
    again: Flags = view.in_table & _other_row(view) & (view.joined[0] == view.served[0]) & (view.joined[0] != MISSING)
    instead: Flags = ~view.in_table & view.replaced
    return again | instead


def _other_row(view: ViewEvidence) -> Flags:
    """Where the join uses a newer row, or a row of the same times with other values."""
    return view.newer | (view.same_row & ~view.same_values)


def _ahead(view: ViewEvidence) -> Flags:
    return view.in_table & ~view.newer & ~view.same_row


_RULES: tuple[tuple[SkewCause, Callable[[ViewEvidence], Flags]], ...] = (
    (SkewCause.CORRUPTION, lambda view: view.unread),  # an unread view is replayed as unread: the log was altered
    (SkewCause.DEFINITION_CHANGED, _definition),
    (SkewCause.NOT_MATERIALIZED, _not_materialized),
    (SkewCause.DELETION, _deletion),
    (SkewCause.CORRECTION, _correction),
    (SkewCause.LATE_DATA, lambda view: view.in_table & view.newer),
    (SkewCause.STORE_AHEAD, _ahead),
)


def decide(evidence: ViewEvidence) -> NDArray[np.object_]:
    """The cause of each of the m differences; what no evidence explains is corruption."""
    causes = np.full(len(evidence.served_at), SkewCause.CORRUPTION, np.object_)
    undecided = np.ones(len(evidence.served_at), bool)
    for cause, fits in _RULES:
        matched = undecided & fits(evidence)
        causes[matched] = cause
        undecided &= ~matched
    return causes
