"""What became of a model's definitions: each change of one of its features is refused by name, others do not matter."""

from __future__ import annotations

import msgspec
import pytest

from skewless.contract.plan import Field, JoinKey, Plan, PlanView
from skewless.definitions.compatibility import DefinitionsChanged, confirm
from tests.definitions.traced_functions import DELAYS, RUSH
from tests.definitions.traced_functions import plan as plan_of

DIGEST = "7d" * 32
APPLIED = {"rush": DIGEST}


def change(view: PlanView, **changes) -> PlanView:
    return msgspec.structs.replace(view, **changes)


@pytest.fixture
def plan() -> Plan:
    return plan_of(msgspec.structs.replace(RUSH, digest=DIGEST))


def refused(plan: Plan, stored: PlanView | None, applied: dict[str, str] = APPLIED) -> str:
    with pytest.raises(DefinitionsChanged) as error:
        confirm("m 1.0.0", plan, lambda _: stored, applied)
    return str(error.value)


def test_the_same_definitions_and_others_beside_them_are_fine(plan: Plan):
    confirm("m 1.0.0", plan, lambda _: DELAYS, APPLIED)
    wider = change(DELAYS, fields=(Field("new", "String"), *DELAYS.fields))
    confirm("m 1.0.0", plan, lambda _: wider, APPLIED)
    unused = change(DELAYS, fields=(DELAYS.fields[0],))
    confirm("m 1.0.0", plan, lambda _: unused, APPLIED)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"fields": (Field("average", "Float32"),)}, "delays: feature mean was Float32 in training and is absent in"),
        ({"fields": (Field("mean", "Float64"),)}, "delays: feature mean was Float32 in training and is Float64 in"),
        ({"ttl_us": 7}, "delays: ttl was none in training and is 0:00:00.000007 in the registry"),
        ({"known_by": "event_timestamp"}, "known_by was created_timestamp in training and is event_timestamp"),
        ({"join_keys": (JoinKey("dest", "dest", "String"),)}, "join key was origin String"),
        ({"deleted_field": "gone"}, "deleted_field was none in training and is gone"),
    ],
)
def test_a_changed_view_is_refused_with_the_difference(plan: Plan, changes, told: str):
    said = refused(plan, change(DELAYS, **changes))
    assert told in said
    assert "Train and publish it again" in said


def test_a_view_that_is_gone_is_refused(plan: Plan):
    assert "delays: the view was defined in training and is absent in the registry" in refused(plan, None)


def test_a_changed_transform_is_refused_with_the_difference(plan: Plan):
    said = refused(plan, DELAYS, {"rush": "ab" * 32})
    assert "transform rush: its graph was 7d7d7d7d7d7d in training and is abababababab now" in said
    assert "transform rush: its graph was 7d7d7d7d7d7d in training and is absent now" in refused(plan, DELAYS, {})
