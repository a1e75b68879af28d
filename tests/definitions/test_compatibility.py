"""What became of a model's definitions: each change of one of its features is refused by name, others do not matter."""

from __future__ import annotations

import msgspec
import pytest

from skewless.contract.plan import Field, JoinKey, Plan, PlanView
from skewless.definitions.compatibility import DefinitionsChanged, confirm
from skewless.definitions.onnx_tracing import digest, load_functions
from tests.definitions.traced_functions import DELAYS, GOOD, RUSH, functions
from tests.definitions.traced_functions import plan as plan_of


def change(view: PlanView, **changes) -> PlanView:
    return msgspec.structs.replace(view, **changes)


@pytest.fixture
def plan(tmp_path) -> Plan:
    bare = plan_of(RUSH)
    functions(tmp_path, GOOD)
    traced = msgspec.structs.replace(RUSH, digest=digest(RUSH, bare, load_functions(tmp_path)))
    return plan_of(traced)


def refused(tmp_path, plan: Plan, stored: PlanView | None) -> str:
    with pytest.raises(DefinitionsChanged) as error:
        confirm("m 1.0.0", plan, lambda _: stored, load_functions(tmp_path))
    return str(error.value)


def test_the_same_definitions_and_others_beside_them_are_fine(tmp_path, plan: Plan):
    confirm("m 1.0.0", plan, lambda _: DELAYS, load_functions(tmp_path))
    wider = change(DELAYS, fields=(Field("new", "String"), *DELAYS.fields))
    confirm("m 1.0.0", plan, lambda _: wider, load_functions(tmp_path))
    unused = change(DELAYS, fields=(DELAYS.fields[0],))
    confirm("m 1.0.0", plan, lambda _: unused, load_functions(tmp_path))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"fields": (Field("average", "Float32"),)}, "delays: feature mean was Float32 in training and is absent in"),
        ({"fields": (Field("mean", "Float64"),)}, "delays: feature mean was Float32 in training and is Float64 in"),
        ({"ttl_us": 7}, "delays: ttl_us was 0 in training and is 7 in the registry"),
        ({"known_by": "event_timestamp"}, "known_by was created_timestamp in training and is event_timestamp"),
        ({"join_keys": (JoinKey("dest", "dest", "String"),)}, "the join keys was [('origin', 'String')]"),
        ({"deleted_field": "gone"}, "deleted_field was None in training and is gone"),
    ],
)
def test_a_changed_view_is_refused_with_the_difference(tmp_path, plan: Plan, changes, told: str):
    said = refused(tmp_path, plan, change(DELAYS, **changes))
    assert told in said
    assert "Train and publish it again" in said


def test_a_view_that_is_gone_is_refused(tmp_path, plan: Plan):
    assert "delays: the view was defined in training and is absent in the registry" in refused(tmp_path, plan, None)


@pytest.mark.parametrize(
    ("source", "told"),
    [
        (GOOD.replace("mean * xp", "mean + xp"), "transform rush: its graph was"),
        ("", "transform rush: its function was in feature_repo/transforms.py and is absent now"),
        (GOOD.replace("hour):", "minute):"), "transform rush: it cannot be traced any more"),
    ],
)
def test_a_changed_transform_is_refused_with_the_difference(tmp_path, plan: Plan, source: str, told: str):
    functions(tmp_path, source)
    assert told in refused(tmp_path, plan, DELAYS)
