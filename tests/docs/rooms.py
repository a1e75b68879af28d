"""`python -m tests.docs.rooms`: draw the rooms of the code as boxes on floors, and their imports as arrows."""

from __future__ import annotations

import argparse
import json
from xml.sax.saxutils import escape

from tests.checkout import ROOT
from tests.docs.imports import RoomPlan, read

PICTURE = ROOT / "infra" / "pictures" / "imports.svg"
DATA = PICTURE.with_suffix(".json")
COMMAND = "make pictures"

_BOX, _HIGH, _APART, _FLOOR, _EDGE = 164, 34, 14, 84, 24
_ROUNDS = 24
_COLOURS = {
    "contract": ("the promise: serving/skewless/contract", "#e8f1fb", "#2a6cb0"),
    "server": ("how a prediction is made: serving/skewless", "#e6f5ec", "#2b8a57"),
    "data": ("how data is made: pipelines/skewless", "#fdf2e0", "#b7791f"),
    "dags": ("when: dags/skewless", "#f3eafa", "#7b4bb0"),
}
_FOLDERS = {"server": "serving", "data": "pipelines", "dags": "dags"}


def data(plan: RoomPlan) -> str:
    """What the picture shows, as JSON: floors from the highest down, and every arrow."""
    arrows: dict[str, list[str]] = {}
    for a, b in plan.arrows:
        arrows.setdefault(a, []).append(b)
    return json.dumps({"floors": [list(floor) for floor in reversed(plan.floors)], "imports": arrows}, indent=1) + "\n"


def draw(plan: RoomPlan) -> str:
    """The picture as SVG: a function of the plan alone."""
    direct = plan.direct()
    columns = max(map(len, plan.floors))
    width = 2 * _EDGE + columns * (_BOX + _APART) - _APART
    places = _places(plan, direct, width)
    height = 2 * _EDGE + len(plan.floors) * _FLOOR + 40
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">',
        f"<title>{sum(map(len, plan.floors))} rooms on {len(plan.floors)} floors</title>",
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        *(_arrow(places[a], places[b], _COLOURS[layer(a)][2]) for a, b in direct),
        *(_room(room, place) for room, place in places.items()),
        *_legend(height),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def layer(room: str) -> str:
    """The folder that a room lies in, as a key of the colours."""
    head = room.partition(".")[0]
    if head == "contract":
        return "contract"
    return next(key for key, folder in _FOLDERS.items() if (ROOT / folder / "skewless" / head).is_dir())


def _places(plan: RoomPlan, direct: list[tuple[str, str]], width: int) -> dict[str, tuple[float, float]]:
    """The middle of each box. Within a floor serving is left and dags are right; else near what a room is tied to."""
    side = {"server": 0, "contract": 1, "data": 2, "dags": 3}
    tied: dict[str, list[str]] = {room: [] for floor in plan.floors for room in floor}
    for a, b in direct:
        tied[a].append(b)
        tied[b].append(a)
    x = dict.fromkeys(tied, 0.0)
    for turn in range(_ROUNDS):
        for floor in plan.floors if turn % 2 == 0 else reversed(plan.floors):
            wish = {room: sum(x[one] for one in tied[room]) / max(1, len(tied[room])) for room in floor}
            ranked = sorted(floor, key=lambda room: (side[layer(room)], wish[room], room))
            step = width / len(ranked)
            x |= {room: step * (place + 0.5) for place, room in enumerate(ranked)}
    top = len(plan.floors) - 1
    return {
        room: (round(x[room], 1), _EDGE + _HIGH / 2 + (top - level) * _FLOOR)
        for level, floor in enumerate(plan.floors)
        for room in floor
    }


def _arrow(start: tuple[float, float], end: tuple[float, float], colour: str) -> str:
    (x1, y1), (x2, y2) = (start[0], start[1] + _HIGH / 2), (end[0], end[1] - _HIGH / 2 - 5)
    bend = (y2 - y1) * 0.5
    path = f"M{x1:g} {y1:g}C{x1:g} {y1 + bend:g} {x2:g} {y2 - bend:g} {x2:g} {y2:g}"
    tip = f"M{x2 - 3.5:g} {y2 - 2:g}L{x2 + 3.5:g} {y2 - 2:g}L{x2:g} {y2 + 5:g}Z"
    return (
        f'<path d="{path}" fill="none" stroke="{colour}" stroke-opacity="0.55"/>'
        f'<path d="{tip}" fill="{colour}" fill-opacity="0.8"/>'
    )


def _room(room: str, place: tuple[float, float]) -> str:
    x, y = place
    _, fill, line = _COLOURS[layer(room)]
    return (
        f'<rect x="{x - _BOX / 2:g}" y="{y - _HIGH / 2:g}" width="{_BOX}" height="{_HIGH}" rx="6" fill="{fill}" '
        f'stroke="{line}"/><text x="{x:g}" y="{y + 4.5:g}" text-anchor="middle" '
        f'fill="#1a202c">{escape(room)}</text>'
    )


def _legend(height: int) -> list[str]:
    lines = []
    for place, (text, fill, line) in enumerate(_COLOURS.values()):
        x, y = _EDGE + place * 290, height - _EDGE - 10
        lines.append(f'<rect x="{x}" y="{y - 11}" width="14" height="14" rx="3" fill="{fill}" stroke="{line}"/>')
        lines.append(f'<text x="{x + 20}" y="{y}" fill="#1a202c">{escape(text)}</text>')
    return lines


def main() -> None:
    argparse.ArgumentParser(prog="python -m tests.docs.rooms", description=__doc__).parse_args()
    plan = read()
    DATA.write_text(data(plan))
    PICTURE.write_text(draw(plan))
    print(f"{PICTURE}: {sum(map(len, plan.floors))} rooms on {len(plan.floors)} floors, {len(plan.arrows)} imports")


if __name__ == "__main__":
    main()
