"""Times are whole seconds through Feast's SDK, which an apply says."""

from __future__ import annotations

from skewless.contract.plan import Field, PlanView
from skewless.definitions.whole_seconds import whole_seconds_note


def test_times_are_named_and_nothing_else():
    fields = (Field("paid", "UnixTimestamp"), Field("seen", "Array(UnixTimestamp)"), Field("x", "Int64"))
    view = PlanView("spend", "spend", (), fields, 0, "event_timestamp", None)
    assert "(spend.paid, spend.seen)" in str(whole_seconds_note([view]))
    assert whole_seconds_note([PlanView("spend", "spend", (), fields[2:], 0, "event_timestamp", None)]) is None
