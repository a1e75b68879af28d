"""Times on the command line: what is no time, and windows without a length, are refused."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
import typer

from skewless.cli.time_options import instant, span


def test_times_without_a_zone_are_utc():
    assert instant("2013-10-01") == datetime(2013, 10, 1, tzinfo=UTC)
    assert instant("2013-10-01T14:00:00+02:00") == datetime(2013, 10, 1, 12, tzinfo=UTC)
    with pytest.raises(typer.BadParameter, match="no ISO 8601 time"):
        instant("soon")


@pytest.mark.parametrize("start", ["2013-10-02", "2013-10-03"])
def test_a_window_without_a_length_is_refused(start: str):
    with pytest.raises(typer.BadParameter, match=r"--start 2013.* is not before --end 2013-10-02"):
        span(start, "2013-10-02")


def test_the_ends_of_a_window():
    assert span("2013-10-01", "2013-10-02") == (instant("2013-10-01"), instant("2013-10-02"))
    assert span(None, "2013-10-02")[0] is None
    assert span(None, None)[1] > datetime(2026, 1, 1, tzinfo=UTC)
