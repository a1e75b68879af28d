from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skewless.contract.errors import RolloutRefused
from skewless.contract.rollout.rollout import Canary
from skewless.contract.rollout.traffic_split import draw, lot
from tests.models import tiny

TAILS = [f"N{number}" for number in range(4_000)]
PLAN = tiny.plan()


def drawn(canary: Canary, origins: list[str | None], tails: list[str | None], request_id: str = "r") -> list[bool]:
    return draw(PLAN, "tiny", canary)(request_id, {"origin": origins, "tailnum": tails}, len(tails))


@given(st.binary(max_size=64), st.binary(max_size=200))
def test_a_lot_is_a_share_and_stays_the_same(salt: bytes, key: bytes):
    assert 0.0 <= lot(salt, key) < 1.0
    assert lot(salt, key) == lot(salt, key)


def test_a_lot_never_changes_from_release_to_release():
    assert lot(b"salt", b"key") == 0.8807671812065322


@pytest.mark.parametrize("weight", [0.05, 0.5, 0.95])
def test_the_weight_is_the_share_of_the_entities(weight: float):
    mine = drawn(Canary("2.0.0", weight), ["JFK"] * len(TAILS), list(TAILS))
    assert abs(sum(mine) / len(TAILS) - weight) < 4 * (weight * (1 - weight) / len(TAILS)) ** 0.5


@given(st.floats(0.01, 1.0), st.floats(0.01, 1.0))
def test_a_weight_that_grows_takes_nobody_back(one: float, other: float):
    less, more = sorted((one, other))
    few = drawn(Canary("2.0.0", less), ["JFK"] * 50, list(TAILS[:50]))
    many = drawn(Canary("2.0.0", more), ["JFK"] * 50, list(TAILS[:50]))
    assert all(after for before, after in zip(few, many, strict=True) if before)


def test_one_entity_sees_one_version_whatever_it_comes_with():
    by_tail = Canary("2.0.0", 0.5, by=("tailnum",))
    first = drawn(by_tail, ["JFK"] * 100, list(TAILS[:100]), "a")
    assert drawn(by_tail, ["EWR"] * 100, list(TAILS[:100]), "b") == first
    assert drawn(by_tail, ["EWR"] * 100, list(reversed(TAILS[:100]))) == first[::-1]
    assert drawn(Canary("2.0.0", 0.5), ["EWR"] * 100, list(TAILS[:100])) != first, "by all join keys"


def test_another_canary_draws_anew():
    assert drawn(Canary("3.0.0", 0.5), ["JFK"] * 100, list(TAILS[:100])) != drawn(
        Canary("2.0.0", 0.5), ["JFK"] * 100, list(TAILS[:100])
    )


def test_nobody_in_particular_is_the_champions():
    assert drawn(Canary("2.0.0", 1.0), ["JFK", None], [None, "N1"]) == [False, False]


def test_entities_are_told_apart_by_join_keys():
    with pytest.raises(RolloutRefused, match="'hour', which is no join key"):
        drawn(Canary("2.0.0", 0.5, by=("hour",)), [], [])
