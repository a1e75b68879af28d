from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from skewless.contract.errors import InvalidRollout, RolloutRefused
from skewless.contract.rollout.rollout import (
    MOST_PINNED,
    CachePolicy,
    Canary,
    GuardrailBounds,
    Rollout,
    RolloutChange,
    RolloutStep,
    bounds_from_json,
    delete,
    end_canary,
    next_rollout,
    pin,
    promote,
    restore,
    retire,
    roll_back,
    rollout_from_json,
    set_policy,
    set_shadow,
    start_canary,
    trial_of,
    unpin,
)

CHANGE = RolloutChange("ada", "2013-10-01T12:00:00+00:00", "promote 1.0.0", "to see")
FIRST = Rollout(1, CHANGE, "1.0.0")
VERSIONS = st.sampled_from(["1.0.0", "2.0.0", "3.0.0"])
STEPS = st.one_of(
    VERSIONS.map(promote),
    VERSIONS.map(lambda version: start_canary("m", Canary(version, 0.5))),
    VERSIONS.map(lambda version: end_canary("m", version)),
    st.one_of(VERSIONS, st.none()).map(lambda version: set_shadow("m", version)),
    VERSIONS.map(lambda version: pin("m", version)),
    VERSIONS.map(lambda version: unpin("m", version)),
    st.builds(roll_back, st.just("m")),
    st.just(set_policy("m", on_store_failure="defaults", cache=CachePolicy(10, 1.0))),
    st.sampled_from(["unused", "unfair"]).map(lambda reason: retire("m", reason)),
    st.just(restore("m")),
    VERSIONS.map(lambda version: delete("m", version)),
)


@given(st.lists(STEPS, max_size=12))
def test_whatever_is_done_the_rollout_stays_sound(steps: list[RolloutStep]):
    now = FIRST
    for step in steps:
        before = now
        try:
            now = next_rollout("m", now, step)
        except RolloutRefused:
            continue
        assert before.retired is None or step.of_retired, "a retired model is restored first"
        assert now.retired == before.retired or step.what in ("retire the model", "restore the model")
        if now.retired != before.retired:
            assert replace(now, retired=None) == replace(before, retired=None), "every role is as it was"
        assert set(before.deleted) <= set(now.deleted), "a number is never free again"
        assert not now.named & set(now.deleted), "no deleted version has a role, or gets one back"
        assert rollout_from_json(now.to_json(), "here") == now
        assert now.roles[now.champion] == "champion"
        assert now.canary is None or now.roles[now.canary.version] == "canary"


def test_a_retired_model_is_restored_as_it_was():
    trying = start_canary("m", Canary("2.0.0", 0.5)).apply(FIRST)
    retired = next_rollout("m", trying, retire("m", "nobody asks for it"))
    assert (retired.retired, retired.roles) == ("nobody asks for it", trying.roles)
    with pytest.raises(
        RolloutRefused, match=r"it is retired \(nobody asks for it\); run `skewless models restore m` first"
    ):
        next_rollout("m", retired, promote("2.0.0"))
    assert next_rollout("m", retired, retire("m", "nobody asks for it")) == retired
    assert next_rollout("m", retired, restore("m")) == trying
    with pytest.raises(RolloutRefused, match="it is not retired"):
        next_rollout("m", trying, restore("m"))
    with pytest.raises(RolloutRefused, match="for a reason"):
        next_rollout("m", trying, retire("m", " "))
    with pytest.raises(RolloutRefused, match="no champion"):
        next_rollout("m", None, retire("m", "never used"))


def test_a_version_with_a_role_is_not_deleted():
    now = promote("2.0.0").apply(FIRST)
    for step in (start_canary("m", Canary("3.0.0", 0.5)), set_shadow("m", "4.0.0"), pin("m", "5.0.0")):
        now = step.apply(now)
    roles = (
        "1.0.0 is its champion before this one",
        "2.0.0 is its champion;",
        "3.0.0 is its canary",
        "4.0.0 is its shadow",
    )
    for reason in (*roles, "5.0.0 is its pinned"):
        with pytest.raises(RolloutRefused, match=reason):
            next_rollout("m", now, delete("m", reason[:5]))
        with pytest.raises(RolloutRefused, match=reason):
            next_rollout("m", retire("m", "unused").apply(now), delete("m", reason[:5]))
    gone = next_rollout("m", now, delete("m", "6.0.0"))
    assert gone.deleted == ("6.0.0",)
    assert next_rollout("m", gone, delete("m", "6.0.0")) == gone
    for step in (
        promote("6.0.0"),
        pin("m", "6.0.0"),
        set_shadow("m", "6.0.0"),
        start_canary("m", Canary("6.0.0", 1.0)),
    ):
        with pytest.raises(RolloutRefused, match=r"6\.0\.0 was deleted"):
            next_rollout("m", gone, step)


def test_a_promotion_is_taken_back_once():
    second = promote("2.0.0").apply(FIRST)
    back = roll_back("m").apply(second)
    assert (back.champion, back.previous) == ("1.0.0", None)
    with pytest.raises(RolloutRefused, match="no promotion to take back"):
        roll_back("m").apply(back)


def test_a_canary_goes_before_the_champion_does():
    trying = start_canary("m", Canary("3.0.0", 0.5)).apply(promote("2.0.0").apply(FIRST))
    back = roll_back("m").apply(trying)
    assert (back.champion, back.canary) == ("2.0.0", None)


def test_a_promoted_canary_is_no_canary_any_more():
    assert promote("2.0.0").apply(start_canary("m", Canary("2.0.0", 0.5)).apply(FIRST)).canary is None


def test_a_canary_may_be_meant_for_one_champion():
    canary = Canary("3.0.0", 0.5)
    assert start_canary("m", canary, FIRST.champion).apply(FIRST).canary == canary
    with pytest.raises(RolloutRefused, match=r"3\.0\.0 was held against 2\.0\.0"):
        start_canary("m", canary, "2.0.0").apply(FIRST)


def test_a_withdrawal_is_of_one_version():
    trying = start_canary("m", Canary("3.0.0", 0.5)).apply(FIRST)
    with pytest.raises(RolloutRefused, match="is not its canary"):
        end_canary("m", "2.0.0").apply(trying)


def test_pins_are_bounded():
    now = FIRST
    for number in range(MOST_PINNED):
        now = pin("m", f"{number}.1.0").apply(now)
    with pytest.raises(RolloutRefused, match="unpin one"):
        pin("m", "99.0.0").apply(now)


def test_a_trial_keeps_its_bounds_when_its_weight_grows():
    strict = GuardrailBounds(most_errors=0.001)
    now = start_canary("m", Canary("2.0.0", 0.1, ("origin",), strict)).apply(FIRST)
    assert trial_of("m", now, "2.0.0", 0.5) == Canary("2.0.0", 0.5, ("origin",), strict)
    assert trial_of("m", now, "3.0.0", 0.5) == Canary("3.0.0", 0.5)
    with pytest.raises(RolloutRefused, match="model 'm' stays as it is: a weight is in"):
        trial_of("m", now, "3.0.0", 1.5)


@pytest.mark.parametrize(
    "members",
    [
        {"champion": "../1.0.0"},
        {"champion": ""},
        {"canary": {"version": "1.0.0", "weight": 0.5}},
        {"canary": {"version": "2.0.0", "weight": 0.0}},
        {"canary": {"version": "2.0.0", "weight": 1.5}},
        {"canary": {"version": "2.0.0", "weight": 0.5, "bounds": {"most_errors": 2}}},
        {"shadow": "a/b"},
        {"pinned": ["."]},
        {"cache": {"rows": 0, "ttl_s": 1}},
        {"on_store_failure": "perhaps"},
        {"revision": 0},
        {"chamption": "1.0.0"},
        {"format": 2},
    ],
)
def test_what_makes_no_sense_is_refused(members: dict[str, Any]):
    content = msgspec.json.decode(FIRST.to_json()) | members
    with pytest.raises(InvalidRollout, match="rollout here is refused"):
        rollout_from_json(msgspec.json.encode(content), "here")


def test_bounds_come_from_a_file():
    assert bounds_from_json(b'{"most_drift": 0.2, "window_s": 60}', "b.json") == GuardrailBounds(60.0, most_drift=0.2)
    with pytest.raises(InvalidRollout, match=r"b\.json"):
        bounds_from_json(b'{"most_drfit": 0.2}', "b.json")
