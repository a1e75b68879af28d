"""The admission rule: which row of a view is used at a time, and whether it is fresh.

Offline join, online read, audit and oracle call these functions; there is no second copy of the rule.
Times are int64 microseconds since 1970-01-01 UTC, as scalars or arrays alike: the rule is written with their own operators
and methods, and imports neither NumPy nor Arrow.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Literal

from skewless.contract.timestamps import DAY_US, UtcMicros

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from skewless.contract.columns import Flags
    from skewless.contract.timestamp_arrays import Instant, UtcMicrosArray

KnownBy = Literal["created_timestamp", "event_timestamp"]
Time = Any
"""An int, or one of the arrays above: the rule is written with operators that both have."""
Truth = Any


class FeatureStatus(IntEnum):
    """The status of a view, or of one of its features, for an entity at a time."""

    PRESENT = 0
    NULL = 1
    NOT_FOUND = 2
    STALE = 3
    NOT_READ = 4
    """The online store failed and the default was used; set by a server only, never by the rule."""


_NOT_FOUND, _STALE = int(FeatureStatus.NOT_FOUND), int(FeatureStatus.STALE)


@dataclass(frozen=True, slots=True)
class AdmissionRule:
    """The admission rule of one view: its ttl in microseconds (0: rows never age) and what makes a row known.

    At time `at` a row with event time `e`, known since `c`, is admissible iff `available_at(e, c) <= at`. Of the
    admissible rows the one with the greatest `(e, c)` is used, whole. It is stale iff `at - e > ttl`: both ends
    of the ttl are included. A used row that is a tombstone means that the entity is not found.
    """

    ttl_us: int
    known_by: KnownBy

    def available_at(self, event: UtcMicrosArray, created: UtcMicrosArray) -> UtcMicrosArray:
        """The first instant at which a row may be used: `e`, or the later of `e` and `c`."""
        return event.clip(min=created) if self.known_by == "created_timestamp" else event

    def admits(self, event: Time, created: Time, at: Time) -> Truth:
        """Whether a row may be used at `at` (that instant included)."""
        known = event <= at
        return known & (created <= at) if self.known_by == "created_timestamp" else known

    def removable(self, event: Time, at: Time) -> Truth:
        """Whether a row may be removed from the online store at `at`: it has been stale for as long as it was fresh, and
        for at least a day. Its values are null either way; its status becomes NOT_FOUND instead of STALE.
        """
        return (at - event > self.ttl_us + self.grace_us) & (self.ttl_us > 0)

    @property
    def grace_us(self) -> int:
        """For how long a stale row stays before it is removable."""
        return max(self.ttl_us, _LEAST_GRACE)

    def horizon(self, end: UtcMicros) -> UtcMicros:
        """The event time of rows that a server which removes rows by itself may drop at once, in a run as of `end`; a
        later row it may drop once it kept it for `event - horizon`. Means nothing without a ttl.

        That is when the row is `removable` as of `end` and the time that went by since, and another grace later: so that
        no row is missed as of a watermark that lags behind by less than a grace. Relative to `end`, not to the clock, so
        that a store which is filled as of an old time has its rows for as long as one that is filled as of now.
        """
        return end - self.ttl_us - 2 * self.grace_us

    def outlasts(self, other: AdmissionRule) -> bool:
        """Whether this rule keeps rows for longer than `other`: its ttl is longer."""
        return other.ttl_us > 0 and not 0 < self.ttl_us <= other.ttl_us

    def code(self, event: Time, created: Time, deleted: Truth, at: Time) -> Any:  # noqa: ANN401 - int or array
        """The status of each newest row at `at` as a number: of ints and bools an int, of arrays an array."""
        admitted = self.admits(event, created, at) & (deleted ^ True)
        missing = (admitted ^ True) * _NOT_FOUND
        return missing + (admitted & (at - event > self.ttl_us)) * _STALE if self.ttl_us else missing

    def status(self, event: UtcMicrosArray, created: UtcMicrosArray, deleted: Flags, at: Instant) -> NDArray[np.uint8]:
        """The status of each newest row at `at`: PRESENT, NOT_FOUND (not admissible, or a tombstone) or STALE."""
        code: NDArray[np.int64] = self.code(event, created, deleted, at)
        return code.astype("u1")


_LEAST_GRACE = DAY_US
MISSING = 2**63 - 1
"""Event and created time of an entity without a row: later than any instant, hence never admissible."""
