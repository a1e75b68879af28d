from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skewless.contract.admission import MISSING, AdmissionRule, FeatureStatus
from tests import oracles
from tests.strategies import INSTANTS, MOMENTS, OLD_MOMENTS, UNIT

TIMES = st.one_of(MOMENTS, OLD_MOMENTS, INSTANTS)
KNOWN_BY = st.sampled_from(["created_timestamp", "event_timestamp"])


def status(rule: AdmissionRule, event: int, created: int, deleted: bool, at: int) -> str:
    """The status of one row, asked for alone and among others."""
    events, creations = np.array([MISSING, event]), np.array([MISSING, created])
    alone = rule.status(events[1:], creations[1:], np.array([deleted]), np.int64(at))
    among = rule.status(events, creations, np.array([False, deleted]), np.array([at, at]))
    assert among.tolist() == [FeatureStatus.NOT_FOUND, *alone.tolist()]
    assert alone.dtype == np.uint8
    return FeatureStatus(int(alone[0])).name


@given(KNOWN_BY, st.sampled_from([0, 1, UNIT, 3 * UNIT]), TIMES, TIMES, st.booleans(), TIMES, st.integers(-1, 1))
def test_a_row_has_the_status_that_law_1_gives_it(known_by, ttl, event, created, deleted, at, beside):
    row = oracles.Row((1,), event, created, deleted, (), ())
    for moment in (at + beside, event + ttl + beside, created + beside):
        spoken = oracles.Rule(ttl, known_by)
        used = oracles.as_of([row], (1,), moment, spoken)
        expected = oracles.view_status(used, moment, spoken)
        assert status(AdmissionRule(ttl, known_by), event, created, deleted, moment) == expected


@given(KNOWN_BY, TIMES, TIMES, TIMES)
def test_a_row_is_admitted_from_the_instant_at_which_it_is_available(known_by, event, created, at):
    rule, row = AdmissionRule(0, known_by), oracles.Row((1,), event, created, False, (), ())
    events, creations = np.array([event]), np.array([created])
    assert rule.admits(events, creations, np.int64(at)).tolist() == [oracles.Rule(0, known_by).admits(row, at)]
    first = rule.available_at(events, creations)[0]
    assert rule.admits(events, creations, first).tolist() == [True]
    assert rule.admits(events, creations, first - 1).tolist() == [False]


@pytest.mark.parametrize(("age", "expected"), [(-1, "NOT_FOUND"), (0, "PRESENT"), (100, "PRESENT"), (101, "STALE")])
def test_both_ends_of_the_ttl_are_included(age, expected):
    assert status(AdmissionRule(100, "event_timestamp"), 1_000, 5_000, False, 1_000 + age) == expected


@pytest.mark.parametrize(
    ("known_by", "at", "expected"),
    [
        ("event_timestamp", 10, "PRESENT"),
        ("created_timestamp", 10, "NOT_FOUND"),
        ("created_timestamp", 19, "NOT_FOUND"),
        ("created_timestamp", 20, "PRESENT"),
    ],
)
def test_known_by_decides_whether_the_created_time_counts(known_by, at, expected):
    assert status(AdmissionRule(0, known_by), 10, 20, False, at) == expected


def test_a_ttl_of_zero_never_ends():
    assert status(AdmissionRule(0, "event_timestamp"), -(2**60), 0, False, 2**60) == "PRESENT"


def test_a_stale_tombstone_is_not_found():
    assert status(AdmissionRule(1, "event_timestamp"), 0, 0, True, 100) == "NOT_FOUND"
