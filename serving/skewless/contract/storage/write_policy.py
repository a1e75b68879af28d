"""The catalog's instructions for writing rows of a view."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from skewless.contract.admission import AdmissionRule
from skewless.contract.plan import PlanView
from skewless.contract.storage.catalog import parse_view, removal_field, view_field
from skewless.contract.storage.expiry_mode import EXPIRY, ExpiryMode, parse_expiry
from skewless.contract.timestamps import UtcMicros


@dataclass(frozen=True, slots=True)
class WritePolicy:
    """Whether the view takes rows, and, where the server expires rows itself, the rule for their deadlines."""

    removing: bool
    expiry: ExpiryMode
    rule: AdmissionRule

    @staticmethod
    def fields(view: PlanView) -> tuple[bytes, ...]:
        """The catalog fields that `of` parses."""
        return removal_field(view.stored_as), EXPIRY, view_field(view.stored_as)

    @classmethod
    def of(cls, view: PlanView, entries: Sequence[bytes | None]) -> WritePolicy:
        """Parse the values of those fields for a writer of `view`.

        Rows are kept by the longer ttl of the writer's definition and the store's: models are served under the store's
        until the view was materialized under the writer's.
        """
        removing, chosen, entry = entries
        expiry, rule = parse_expiry(chosen), view.rule
        stored = parse_view(entry) if entry and expiry is ExpiryMode.SERVER else None
        if stored is not None and stored.rule.outlasts(rule):
            rule = stored.rule
        return cls(removing is not None, expiry, rule)

    def horizon(self, end: UtcMicros) -> bytes | None:
        """The horizon argument of `newest_wins.SCRIPT` in a run as of `end` (microseconds); None: no such argument."""
        return horizon_argument(self.rule, end) if self.expiry is ExpiryMode.SERVER else None


def horizon_argument(rule: AdmissionRule, end: UtcMicros) -> bytes:
    """`AdmissionRule.horizon` as scripts take it: in milliseconds, empty where rows never age."""
    return b"%d" % (rule.horizon(end) // 1000) if rule.ttl_us else b""
