"""Whom rows are about, whatever the types of their keys."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pyarrow as pa
import pytest

from skewless.erasure.subject import ErasureSubject, SubjectMissing, same_value


@pytest.mark.parametrize(
    ("held", "text", "alike"),
    [
        (42, "42", True),
        (42, "042", True),
        ("42", "42", True),
        ("042", "42", False),
        (True, "1", False),
        (None, "None", False),
        (b"\x00\x01", "AAE=", True),
        (1_380_628_800, "2013-10-01T12:00:00Z", True),
        ("2013-10-01T14:00:00+02:00", "2013-10-01T12:00:00Z", True),
        (4.2, "4.2", False),
    ],
)
def test_a_value_is_the_subjects_whatever_its_type(held, text, alike):
    assert same_value(held, text) is alike


def test_columns_of_every_type_of_key():
    at_noon = datetime(2013, 10, 1, 12, tzinfo=UTC)
    table = pa.table(
        {
            "i": pa.array([1, 2, None], pa.int16()),
            "s": ["1", "2", None],
            "t": pa.array([at_noon, None, None], pa.timestamp("ms", tz="UTC")),
            "b": [b"\x00\x01", b"", None],
            "f": [1.0, 2.0, None],
            "d": pa.array([Decimal(1), Decimal("1.5"), None], pa.decimal128(9, 2)),
            "v": pa.array(["1", "2", None]).cast(pa.string_view()),
            "c": pa.array(["1", "2", None]).dictionary_encode(),
            "day": pa.array([date(2013, 10, 1), None, None]),
        }
    )

    def rows(text: str, column: str) -> list[bool]:
        return ErasureSubject.parse([f"k={text}"]).rows(table, {"k": [column]}).tolist()

    assert (
        rows("1", "i")
        == rows("1", "s")
        == rows("2013-10-01T12:00:00Z", "t")
        == rows("AAE=", "b")
        == rows("1", "f")
        == rows("1", "d")
        == rows("1", "v")
        == rows("1", "c")
        == rows("2013-10-01T00:00:00Z", "day")
        == [True, False, False]
    )
    for text, column in (
        ("x", "i"),
        ("99999999999", "i"),
        (str(2**53), "f"),
        ("x", "d"),
        ("1", "t"),
        ("1", "absent"),
        ("?", "b"),
    ):
        assert rows(text, column) == [False] * 3


@pytest.mark.parametrize("given", [[], ["x"], ["=1"], ["a="], ["a=1", "a=2"]])
def test_nobody_is_refused(given):
    with pytest.raises(SubjectMissing, match="as customer_id=42"):
        ErasureSubject.parse(given)
