"""The baseline: what is counted, what is sketched, and what of a bundle's file is refused."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skewless.model.distributions.baseline import (
    Baseline,
    BaselineMissing,
    CategoryCounts,
    NumberSketch,
    numbers,
    read,
    texts,
)

FLOATS = st.lists(st.floats(width=32), max_size=200).map(lambda some: np.array(some, np.float32))


@given(FLOATS)
def test_any_numbers_survive_a_file(values: np.ndarray):
    found = Baseline({"x": numbers(values)}, {}, {}, numbers(values))
    assert msgspec.json.decode(msgspec.json.encode(found), type=Baseline) == found
    assert found.inputs["x"].rows == len(values)
    assert found.inputs["x"].nulls == np.isnan(values).sum()


def test_few_values_are_counted_and_many_are_sketched():
    assert numbers(np.tile([1.0, 2.5, np.nan], 100)) == CategoryCounts(300, 100, {"1": 100, "2.5": 100})
    many = numbers(np.arange(1000.0))
    assert isinstance(many, NumberSketch)
    assert (many.quantiles[0], many.quantiles[-1]) == (0.0, 999.0)
    assert isinstance(numbers(np.arange(20.0)), NumberSketch), "20 values that occur once each are not categories"
    assert numbers(np.full(7, np.nan)) == CategoryCounts(7, 7, {})


def test_names_beyond_the_hundred_most_frequent_count_together():
    column = pa.chunked_array([["often"] * 50 + ["often too"] * 40, [f"N{n}" for n in range(200)] + [None] * 3])
    found = texts(column)
    assert (found.rows, found.nulls, len(found.counts), found.other) == (293, 3, 100, 102)
    assert list(found.counts)[:3] == ["often", "often too", "N0"]


@pytest.mark.parametrize("content", [b"{}", b"", b'{"mean": {"rows": 3, "null_share": 0.0, "quantiles": []}}'])
def test_an_older_baseline_is_refused_with_the_mend(tmp_path: Path, content: bytes):
    (tmp_path / "baseline.json").write_bytes(content)
    with pytest.raises(BaselineMissing, match=r"baseline of tiny 1\.0\.0 cannot be read: .*`skewless publish"):
        read(tmp_path, "tiny", "1.0.0")
