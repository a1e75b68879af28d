"""Durations as text, both ways."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skewless.runtime.durations import BadDuration, duration, short


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("90s", timedelta(seconds=90)),
        ("15m", timedelta(minutes=15)),
        (" 1.5h ", timedelta(minutes=90)),
        ("7d", timedelta(days=7)),
        ("0s", timedelta(0)),
    ],
)
def test_a_number_with_a_unit_is_a_duration(text: str, parsed: timedelta):
    assert duration(text) == parsed


@pytest.mark.parametrize("text", ["", "7", "d", "-1h", "1w", "1h30m", "1 h", "1e3s"])
def test_any_other_text_is_refused(text: str):
    with pytest.raises(BadDuration, match="write a number with s, m, h or d, as 90d"):
        duration(text)


@given(seconds=st.integers(0, 10**9))
def test_the_short_form_is_read_as_the_same_duration(seconds: int):
    time = timedelta(seconds=seconds)
    assert duration(short(time)) == time
