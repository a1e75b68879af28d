"""Which room of the code imports which, read from the code by grimp, as import-linter does.

A room is a package. Modules that lie beside the rooms of their package are one room too, or a room each where one room
would import in a circle (the server's application lies above its rooms, its errors below them).
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

import grimp

from tests.checkout import ROOT

PREFIX = "skewless."
Imports = Mapping[str, set[str]]


@dataclass(frozen=True)
class RoomPlan:
    """Rooms by floor, the lowest first, and who imports whom. Every arrow leads to a lower floor."""

    floors: tuple[tuple[str, ...], ...]
    arrows: tuple[tuple[str, str], ...]

    def direct(self) -> list[tuple[str, str]]:
        """The arrows that no way over other rooms implies."""
        below = {room: {b for a, b in self.arrows if a == room} for floor in self.floors for room in floor}
        reach: dict[str, set[str]] = {}
        for floor in self.floors:
            for room in floor:
                reach[room] = below[room].union(*(reach[one] for one in below[room]))
        return [(a, b) for a, b in self.arrows if not any(b in reach[one] for one in below[a] if one != b)]


def read() -> RoomPlan:
    """The rooms of the tree as it is. Raises: graphlib.CycleError where rooms import in a circle."""
    roots = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["root_packages"]
    graph = grimp.build_graph(*roots, cache_dir=None)
    packages = {module for module in graph.modules if graph.find_children(module)}
    return plan({module: graph.find_modules_directly_imported_by(module) for module in graph.modules}, packages)


def plan(imports: Imports, packages: set[str]) -> RoomPlan:
    """The rooms of these modules. Raises: graphlib.CycleError."""
    parents = {package.rpartition(".")[0] for package in packages} & packages
    apart: set[str] = set()
    while True:
        rooms = {module: _room(module, packages, apart) for module in imports}
        arrows = {(rooms[a], rooms[b]) for a in imports for b in imports[a] if rooms[a] != rooms[b]}
        inhabited = {rooms[module] for module in imports if module not in packages}
        try:
            floors = _floors(inhabited.union(*arrows), arrows)
        except CycleError as error:
            circle = {PREFIX + room for room in error.args[1]} & parents - apart
            if not circle:
                raise
            apart |= circle
        else:
            return RoomPlan(floors, tuple(sorted(arrows)))


def _room(module: str, packages: set[str], apart: set[str]) -> str:
    """The name of a module's room: its package, or itself where the modules of its package are kept apart."""
    package = module if module in packages else module.rpartition(".")[0]
    return (module if package in apart else package).removeprefix(PREFIX)


def _floors(rooms: set[str], arrows: set[tuple[str, str]]) -> tuple[tuple[str, ...], ...]:
    """Each room one floor above the highest that it imports."""
    below = {room: {b for a, b in arrows if a == room} for room in rooms}
    height: dict[str, int] = {}
    for room in TopologicalSorter(below).static_order():
        height[room] = max((height[one] + 1 for one in below[room]), default=0)
    return tuple(
        tuple(sorted(room for room in rooms if height[room] == floor)) for floor in range(max(height.values()) + 1)
    )
