"""The order of causes, against a definition by one difference at a time."""

from __future__ import annotations

from dataclasses import fields
from typing import NamedTuple

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from skewless.contract.admission import MISSING
from skewless.monitoring.audit.causes import MEANINGS, REMEDIES, SkewCause, ViewEvidence, decide

FEW = st.integers(0, 3) | st.just(MISSING)


class One(NamedTuple):
    """The evidence about one difference."""

    served_at: int
    served: tuple[int, int]
    joined: tuple[int, int]
    tombstone: bool
    unread: bool
    in_table: bool
    replaced: bool
    materialized: bool
    same_values: bool


ones = st.builds(
    One,
    served_at=st.integers(0, 4),
    served=st.tuples(FEW, FEW),
    joined=st.tuples(FEW, FEW),
    **{name: st.booleans() for name in ("tombstone", "unread", "in_table", "replaced", "materialized", "same_values")},
)


def cause(one: One, *, changed: bool) -> SkewCause:
    """As infra/decisions/causes.md has it."""
    found, joined = one.served[0] != MISSING, one.joined[0] != MISSING
    same = one.served == one.joined
    newer = joined and (not found or one.joined > one.served)
    another = newer or (same and not one.same_values)
    rules = [
        (SkewCause.CORRUPTION, one.unread),
        (SkewCause.DEFINITION_CHANGED, changed and (not one.in_table or (same and one.same_values))),
        (SkewCause.CORRECTION, not one.in_table and one.replaced),
        (SkewCause.CORRUPTION, not one.in_table),
        (SkewCause.NOT_MATERIALIZED, another and one.joined[1] <= one.served_at and not one.materialized),
        (SkewCause.DELETION, newer and one.tombstone),
        (SkewCause.CORRECTION, another and joined and one.joined[0] == one.served[0]),
        (SkewCause.LATE_DATA, newer),
        (SkewCause.CORRUPTION, same),
        (SkewCause.STORE_AHEAD, True),
    ]
    return next(named for named, fits in rules if fits)


@given(some=st.lists(ones, min_size=1, max_size=20), changed=st.booleans())
def test_every_difference_has_the_first_cause_that_fits(some: list[One], changed: bool):
    columns = dict(zip(One._fields, map(list, zip(*some, strict=True)), strict=True))
    pairs = {name: tuple(np.array(columns[name], np.int64).T) for name in ("served", "joined")}
    plain = {name: np.array(column) for name, column in columns.items() if name not in pairs}
    found = decide(ViewEvidence(**plain, **pairs, definition_changed=changed))
    assert found.tolist() == [cause(one, changed=changed) for one in some]


def test_every_cause_says_what_it_means_and_what_to_do():
    assert set(MEANINGS) == set(REMEDIES) == set(SkewCause)
    assert all(remedy.count("`") % 2 == 0 for remedy in REMEDIES.values())
    assert {field.name for field in fields(ViewEvidence)} == {*One._fields, "definition_changed"}
