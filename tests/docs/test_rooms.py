"""The picture of the rooms is that of the code, and its arrows are what it says they are."""

from __future__ import annotations

import json
from graphlib import CycleError
from xml.etree import ElementTree as ET

import pytest

from tests.docs.imports import RoomPlan, plan, read
from tests.docs.rooms import COMMAND, DATA, PICTURE, data, draw, layer


@pytest.fixture(scope="module")
def rooms() -> RoomPlan:
    return read()


def test_the_picture_is_current(rooms: RoomPlan) -> None:
    stale = f"the code imports something else now: run `{COMMAND}`"
    assert DATA.read_text() == data(rooms), stale
    assert PICTURE.read_text() == draw(rooms), stale


def test_the_picture_has_a_box_for_each_room(rooms: RoomPlan) -> None:
    boxes = [text.text for text in ET.fromstring(draw(rooms)).iter("{http://www.w3.org/2000/svg}text")]
    assert {room for floor in rooms.floors for room in floor} <= set(boxes)
    assert {layer(room) for floor in rooms.floors for room in floor} == {"contract", "server", "data", "dags"}


def test_arrows_lead_down_and_what_is_left_out_follows_from_the_rest(rooms: RoomPlan) -> None:
    level = {room: place for place, floor in enumerate(rooms.floors) for room in floor}
    assert all(level[a] > level[b] for a, b in rooms.arrows)
    assert _reach(rooms.direct()) == _reach(rooms.arrows)
    assert len(rooms.direct()) < len(rooms.arrows) == sum(map(len, json.loads(data(rooms))["imports"].values()))


def test_modules_beside_rooms_are_apart_only_where_they_must_be() -> None:
    packages = {"skewless.a", "skewless.a.inner", "skewless.b", "skewless.b.inner"}
    imports = {
        **{package: set[str]() for package in packages},
        "skewless.a.app": {"skewless.a.inner.x"},
        "skewless.a.errors": set(),
        "skewless.a.inner.x": {"skewless.a.errors", "skewless.b.low"},
        "skewless.b.low": set(),
        "skewless.b.inner.y": {"skewless.b.low"},
    }
    found = plan(imports, packages)
    assert set(found.arrows) == {("a.app", "a.inner"), ("a.inner", "a.errors"), ("a.inner", "b"), ("b.inner", "b")}
    assert found.floors[0] == ("a.errors", "b")


def test_rooms_that_import_each_other_are_refused() -> None:
    imports = {"skewless.a.x": {"skewless.b.y"}, "skewless.b.y": {"skewless.a.x"}}
    with pytest.raises(CycleError):
        plan(imports, {"skewless.a", "skewless.b"})


def _reach(arrows: object) -> set[tuple[str, str]]:
    found = set(arrows)  # type: ignore[call-overload]
    while more := {(a, d) for a, b in found for c, d in found if b == c} - found:
        found |= more
    return found
