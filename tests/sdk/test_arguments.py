"""Times, lengths and names as a program gives them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from skewless.runtime.durations import BadDuration
from skewless.sdk.arguments import (
    BadArgument,
    BadInstant,
    at_least,
    choice,
    instant,
    length,
    names,
    optional_instant,
    utc_day,
)

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("2026-03-01", datetime(2026, 3, 1, tzinfo=UTC)),
        (date(2026, 3, 1), datetime(2026, 3, 1, tzinfo=UTC)),
        ("2026-03-01T12:00:00", NOON),
        ("2026-03-01T13:00:00+01:00", NOON),
        (datetime(2026, 3, 1, 12), NOON),
        (NOON.astimezone(timezone(timedelta(hours=5))), NOON),
    ],
)
def test_a_time_is_an_aware_utc_time(given: str | date | datetime, expected: datetime):
    assert (instant(given), optional_instant(given)) == (expected, expected)


def test_what_is_no_time_is_refused():
    with pytest.raises(BadInstant, match="'soon' is no ISO 8601 time such as 2013-10-01"):
        instant("soon")
    assert optional_instant(None) is None


def test_a_day_is_the_time_when_it_begins():
    assert utc_day("start=", None) is None
    assert utc_day("start=", NOON.date()) == NOON.date()
    assert utc_day("start=", "2026-03-01T01:00+01:00") == NOON.date()
    with pytest.raises(
        BadArgument, match=r"start= 2026-03-01T12:00:00.* is within a day, .*: give 2026-03-01, or the day after it"
    ):
        utc_day("start=", NOON)


def test_a_length_is_text_or_a_timedelta():
    assert length("90m") == length(timedelta(hours=1.5))
    with pytest.raises(BadDuration):
        length("long")


def test_one_name_or_several():
    assert (names(None), names("orders"), names(["a", "b"])) == ((), ("orders",), ("a", "b"))


def test_an_error_begins_with_the_argument():
    assert str(BadArgument("rows=", "has no row")) == "rows= has no row"


def test_what_is_not_among_the_choices_or_too_little_is_refused():
    choice("role=", None, ("champion", "canary"))
    choice("role=", "canary", ("champion", "canary"))
    at_least("sample=", 1, 1)
    with pytest.raises(BadArgument, match="role= is 'boss'; choose champion or canary"):
        choice("role=", "boss", ("champion", "canary"))
    with pytest.raises(BadArgument, match="sample= is 0; the least is 1"):
        at_least("sample=", 0, 1)
    with pytest.raises(BadInstant, match="5 is no ISO 8601 time"):
        instant(5)  # type: ignore[arg-type]
