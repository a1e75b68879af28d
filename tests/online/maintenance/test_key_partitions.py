"""Every entity is in one part, whatever the seed; a sample draws its share, and another seed draws others."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skewless.online.maintenance import key_partitions
from skewless.online.maintenance.key_partitions import KeyPartitions, numbers

KEYS = st.lists(st.binary(max_size=3), max_size=30)


@given(KEYS, st.integers(1, 4), st.integers(0, 2))
def test_parts_hold_every_row_in_order_and_every_entity_once(keys, parts, seed):
    rows = [b"row %d" % number for number in range(len(keys))]
    with KeyPartitions(parts, seed=seed) as dealt:
        for start in range(0, len(keys), 4):
            some = slice(start, start + 4)
            dealt.add("pile", pa.array(keys[some], pa.binary()), pa.array(rows[some], pa.binary()))
        found = [[column.to_pylist() for column in dealt.part("pile", part)] for part in range(parts)]
        assert [len(column) for column in dealt.part("none", 0)] == [0, 0]
    pairs = [pair for part in found for pair in zip(*part, strict=True)]
    assert sorted(pairs) == sorted(zip(keys, rows, strict=True))
    assert sum(len(set(part[0])) for part in found) == len(set(keys))
    for own, theirs in found:
        assert [pair for pair in zip(keys, rows, strict=True) if pair[0] in own] == list(zip(own, theirs, strict=True))


@given(KEYS, st.integers(0, 3), st.integers(0, 2))
def test_a_number_is_the_keys_alone(keys, skipped, seed):
    """Not of its place, of the keys beside it, or of how the array was cut."""
    alone = [int(numbers(pa.array([key], pa.binary()), seed)[0]) for key in keys]
    assert numbers(pa.array([b"before", *keys], pa.binary())[1:][skipped:], seed).tolist() == alone[skipped:]
    assert len(set(zip(keys, alone, strict=True))) == len(set(alone)), "two keys with one number"


def test_many_keys_are_numbered_some_at_a_time(monkeypatch: pytest.MonkeyPatch):
    keys = pa.array([b"key %d" % number for number in range(1_000)], pa.binary())
    whole = numbers(keys, 1)
    monkeypatch.setattr(key_partitions, "_KEYS_AT_ONCE", 7)
    assert np.array_equal(numbers(keys, 1), whole)


@pytest.mark.parametrize("of", [2, 10, 64])
def test_a_sample_is_its_share_of_keys_that_differ_little(of: int):
    """Six standard deviations of a fair draw, and of what two seeds share."""
    keys = pa.array([b"%08d" % number for number in range(20_000)], pa.binary())
    drawn = [numbers(keys, seed) % of == 0 for seed in (1, 2)]
    for share, chosen in ((1 / of, drawn[0]), (1 / of, drawn[1]), (1 / of**2, drawn[0] & drawn[1])):
        expected = share * len(keys)
        assert abs(chosen.sum() - expected) < 6 * (expected * (1 - share)) ** 0.5
