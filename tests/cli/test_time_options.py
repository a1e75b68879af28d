"""Times on the command line: what is no time is refused."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
import typer

from skewless.cli.time_options import instant, optional


def test_times_without_a_zone_are_utc():
    assert instant("2013-10-01") == datetime(2013, 10, 1, tzinfo=UTC)
    assert instant("2013-10-01T14:00:00+02:00") == datetime(2013, 10, 1, 12, tzinfo=UTC)
    assert optional(None) is None
    with pytest.raises(typer.BadParameter, match="no ISO 8601 time"):
        instant("soon")
