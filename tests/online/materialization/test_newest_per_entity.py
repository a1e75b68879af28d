"""Of each entity the newest rows, whatever the chunks; of what was seen, only what is not older."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from skewless.offline.tables.view_rows import ViewRows
from skewless.online.materialization.newest_per_entity import CHUNK_ROWS, SeenTimes, chunks, joined, newest

ROWS = st.lists(st.tuples(st.sampled_from([None, b"a", b"b", b"c"]), st.integers(0, 2), st.integers(0, 2)), max_size=12)


def columns(rows):
    keys = pa.array([key for key, _, _ in rows], pa.binary())
    return keys, *(np.array([row[place] for row in rows], np.int64) for place in (1, 2))


def greatest(rows):
    """By entity the greatest times."""
    found = {}
    for key, *times in rows:
        if key is not None:
            found[key] = max(found.get(key, times), times)
    return found


@given(ROWS)
def test_the_newest_rows_of_each_entity_stay(rows):
    best = greatest(rows)
    expected = [place for place, (key, *times) in enumerate(rows) if key is not None and times == best[key]]
    assert newest(*columns(rows)).tolist() == expected


@given(st.lists(ROWS, max_size=5), st.integers(0, 4))
def test_what_is_seen_loses_no_newest_row(some, limit):
    seen, passed, everything = SeenTimes(limit), [], []
    for rows in some:
        kept = [rows[place] for place in newest(*columns(rows)).tolist()]
        newer = seen.newer(*columns(kept))
        passed += [row for row, new in zip(kept, newer.tolist(), strict=True) if new]
        everything += rows
        assert len(seen) <= limit
    assert greatest(passed) == greatest(everything)
    best = greatest(everything)
    newest_rows = {row for row in everything if row[0] is not None and list(row[1:]) == best[row[0]]}
    assert newest_rows <= set(passed), "of a tie every row goes on: the store settles it"


def test_an_older_row_of_a_seen_entity_is_left_out():
    seen = SeenTimes()
    assert seen.newer(*columns([(b"a", 2, 0), (b"b", 1, 0)])).tolist() == [True, True]
    assert seen.newer(*columns([(b"b", 1, 0), (b"a", 1, 9), (b"c", 0, 0)])).tolist() == [True, False, True]
    assert seen.newer(*columns([(b"a", 2, 1), (b"c", 0, 0)])).tolist() == [True, True]


def history(rows: int) -> ViewRows:
    times = np.arange(rows)
    return ViewRows((pa.array(times),), times, times, np.zeros(rows, bool), (pa.array(times),))


def test_chunks_hold_all_rows_and_not_many_more_than_they_should():
    sizes = [CHUNK_ROWS // 3] * 7
    found = list(chunks(iter([history(size) for size in sizes])))
    assert [len(one) for one in found] == [CHUNK_ROWS // 3 * 4, CHUNK_ROWS // 3 * 3]
    assert joined(found).columns[0].to_pylist() == [*range(sizes[0])] * 7
    assert list(chunks(iter([]))) == []


def test_wide_rows_make_smaller_chunks():
    times = np.arange(2)
    wide = ViewRows((), times, times, np.zeros(2, bool), (pa.array([b"x" * (20 << 20)] * 2),))
    assert [len(one) for one in chunks(iter([wide, wide]))] == [2, 2]
