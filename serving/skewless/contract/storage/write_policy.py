"""What the catalog tells whoever is about to write rows of a view."""

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
    """Whether the view takes rows, and by which rule the server is to keep them, where it does."""

    removing: bool
    expiry: ExpiryMode
    rule: AdmissionRule

    @staticmethod
    def asked(view: PlanView) -> tuple[bytes, ...]:
        """The catalog fields that tell."""
        return removal_field(view.stored_as), EXPIRY, view_field(view.stored_as)

    @classmethod
    def of(cls, view: PlanView, told: Sequence[bytes | None]) -> WritePolicy:
        """What those fields told a writer of `view`.

        Rows are kept by the longer ttl of the writer's definition and the store's: models are served under that one
        until the view was materialized under this one.
        """
        removing, chosen, entry = told
        expiry, rule = parse_expiry(chosen), view.rule
        held = parse_view(entry) if entry and expiry is ExpiryMode.SERVER else None
        if held is not None and held.rule.outlasts(rule):
            rule = held.rule
        return cls(removing is not None, expiry, rule)

    def horizon(self, end: UtcMicros) -> bytes | None:
        """What `newest_wins.SCRIPT` has to know in a run as of `end` (microseconds); None: nothing."""
        return told_horizon(self.rule, end) if self.expiry is ExpiryMode.SERVER else None


def told_horizon(rule: AdmissionRule, end: UtcMicros) -> bytes:
    """`AdmissionRule.horizon` as scripts take it: in milliseconds, empty where rows never age."""
    return b"%d" % (rule.horizon(end) // 1000) if rule.ttl_us else b""
