"""Positions as text, and back."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from skewless.state.position import decode_position, encode_position


@pytest.mark.parametrize(
    "position",
    [datetime(2024, 1, 1, 12, 0, 0, 1, tzinfo=UTC), datetime(2024, 1, 1), date(2024, 1, 1), 2**63, 1.5, -1],
)
def test_a_position_survives(position):
    found = decode_position(encode_position(position))
    assert (type(found), found) == (type(position), position)


def test_a_whole_decimal_is_a_whole_number():
    assert decode_position(encode_position(Decimal(2**60))) == 2**60


def test_another_text_is_refused():
    with pytest.raises(ValueError, match="is no position"):
        decode_position('["day of the week", 7]')
