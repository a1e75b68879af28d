"""What keeps stores and logs tidy and true: `project.housekeeping`.

Held by tests/cli/test_data.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from skewless.contract.storage.expiry_mode import ExpiryMode
from skewless.sdk.arguments import Instant, Length, length, names

if TYPE_CHECKING:
    from skewless.monitoring.served_log.days import TrimResult
    from skewless.sdk.online import RemovedRows, StoreComparison
    from skewless.sdk.session import ProjectSession
    from skewless.sdk.tables import CompactedTables


class HousekeepingVerbs:
    """Runs that change no answer: the store compared with the tables, old rows removed, small files folded."""

    def __init__(self, session: ProjectSession) -> None:
        self._session = session

    def verify(
        self, view: str | Iterable[str] | None = None, *, sample: int = 1, seed: int = 0, repair: bool = False
    ) -> StoreComparison:
        """Compare the online store with the tables as of each view's watermark: one entity in `sample`, chosen by the
        `seed`. With `repair` what differs is written or removed. Raises: UnknownFeatureView, RedisUnreachable.
        """
        from skewless.sdk import online

        return online.verify(self._session, names(view), sample, seed, repair=repair)

    def expire(
        self,
        view: str | Iterable[str] | None = None,
        *,
        end: Instant | None = None,
        by: ExpiryMode | None = None,
    ) -> RemovedRows:
        """Remove rows that are long past their view's ttl as of `end` (by default the watermark). `by`:
        from now on by this command (sweep) or by the server's own expiry. Raises: BadArgument, LockBusy, RedisUnreachable.
        """
        from skewless.sdk import online

        removed = online.expire(self._session, names(view), end, by)
        if removed.warning:
            self._session.say(f"warning: {removed.warning}")
        return removed

    def sweep(self) -> RemovedRows:
        """Remove old definitions that no model reads any more; rows by stored name. Raises: RemovalUnfinished, RedisUnreachable."""
        from skewless.sdk import online

        return online.sweep(self._session)

    def compact(
        self, view: str | Iterable[str] | None = None, *, before: Instant | None = None, keep: Length = "1h"
    ) -> CompactedTables:
        """Fold pushed parts that were written `before` a time (by default now) into the days of their tables; folded parts
        stay `keep` for readers under way. Raises: UnknownFeatureView, LockBusy.
        """
        from skewless.sdk import tables

        return tables.compact(self._session, names(view), before, length(keep))

    def trim(self, model: str | Iterable[str] | None = None, *, keep: Length | None = None) -> TrimResult:
        """Fold each past day of the served log into one file, of all models or of some; remove days older than `keep`, and
        their outcomes.
        """
        from skewless.sdk import served

        return served.trim(self._session, names(model), None if keep is None else length(keep))
