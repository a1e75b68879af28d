"""Which instants a replay picks."""

from __future__ import annotations

import itertools
from collections import Counter
from datetime import UTC

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from skewless.contract.timestamps import from_micros
from skewless.model.scoring.http_replay import joined_rows, moments
from skewless.offline.join.point_in_time import TIMESTAMP
from tests.tables.histories import instants

NOON = 1_380_628_800_000_000
MINUTE = 60_000_000


def spine(counts: list[int]) -> pa.Table:
    """Row i of the table decides at the instant whose turn it is, in an order that is not that of time."""
    times = [NOON + place * MINUTE for place, count in enumerate(counts) for _ in range(count)]
    order = np.random.default_rng(1).permutation(len(times))
    return pa.table({TIMESTAMP: instants([times[place] for place in order]), "id": np.arange(len(times))})


@settings(max_examples=150)
@given(st.lists(st.integers(0, 30), max_size=40), st.integers(1, 300), st.integers(1, 12))
def test_enough_rows_at_busy_instants_or_all_there_are(counts: list[int], rows: int, least: int):
    table = spine(counts)
    found = moments(table, rows, least=least)
    busy = {NOON + place * MINUTE: count for place, count in enumerate(counts) if count >= least}
    assert len({moment.at for moment in found}) == len(found)
    assert [moment.at for moment in found] == sorted(moment.at for moment in found)
    for moment in found:
        assert moment.at.tzinfo == UTC
        (micros,) = {micros for micros in busy if from_micros(micros) == moment.at}
        assert len(moment.rows) == busy[micros]
        assert set(moment.rows.column(TIMESTAMP).to_pylist()) == {moment.at}
        assert moment.rows.column("id").to_pylist() == sorted(moment.rows.column("id").to_pylist())
    total = sum(len(moment.rows) for moment in found)
    assert total >= rows or len(found) == len(busy)


def test_the_instants_are_spread_over_the_whole_spine():
    found = moments(spine([10] * 100), 200)
    assert (found[0].at, found[-1].at) == (from_micros(NOON), from_micros(NOON + 99 * MINUTE))
    gaps = Counter(round((b.at - a.at).total_seconds() / 60) for a, b in itertools.pairwise(found))
    assert sum(len(moment.rows) for moment in found) == 200
    assert set(gaps) <= {5, 6}


def test_the_rows_of_all_moments_in_their_order():
    found = moments(spine([9, 8, 10]), 27)
    assert len(joined_rows(found)) == 27
    assert joined_rows(found).column("id").to_pylist()[:9] == found[0].rows.column("id").to_pylist()
