"""Which copies of bundles are kept."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skewless.registry.bundle_cache import BundleCache

NOW = 1_700_000_000.0
HOUR = 3600.0


def copied(copies: BundleCache, digest: str, version: str, *, hours_ago: float) -> Path:
    place = copies.place(digest, "m", version)
    copies.fetch(place, ["manifest.json"], lambda name: name.encode())
    os.utime(place, (NOW - hours_ago * HOUR, NOW - hours_ago * HOUR))
    return place


def kept(folder: Path) -> set[str]:
    return {f"{path.parts[-3]}/{path.name}" for path in folder.glob("*/m/*")}


def test_what_the_rollout_names_the_last_few_and_the_last_hours_are_kept(tmp_path: Path):
    copies = BundleCache(tmp_path)
    for number in range(8):
        copied(copies, f"d{number}", f"{number}.0.0", hours_ago=10 - number)
    copied(copies, "open", "9.0.0", hours_ago=0.5)
    copied(copies, "again", "0.0.0", hours_ago=3)
    other = copies.place("d0", "other", "1.0.0")
    copies.fetch(other, [], lambda name: b"")
    unfinished = copies.place("d1", "m", ".1.0.0-abc")
    unfinished.mkdir()
    os.utime(unfinished, (NOW - 2 * HOUR, NOW - 2 * HOUR))
    copies.prune("m", {"0.0.0", "1.0.0"}, NOW)
    # Of 0.0.0 the copy that was asked for last; 9.0.0 is open, and is one of the last three with 7.0.0 and 6.0.0.
    assert kept(tmp_path) == {"again/0.0.0", "d1/1.0.0", "open/9.0.0", "d7/7.0.0", "d6/6.0.0"}
    assert other.is_dir(), "another model's"
    assert not (tmp_path / "d2").exists(), "no empty folders stay"


@given(ages=st.lists(st.floats(0, 100), min_size=1, max_size=12), named=st.sets(st.integers(0, 11)))
def test_none_that_is_named_or_was_asked_for_within_the_hour_goes(tmp_path_factory, ages: list[float], named: set[int]):
    folder = tmp_path_factory.mktemp("copies")
    copies = BundleCache(folder)
    for number, age in enumerate(ages):
        copied(copies, f"d{number}", str(number), hours_ago=age)
    copies.prune("m", {str(number) for number in named}, NOW)
    left = {int(path.partition("/")[2]) for path in kept(folder)}
    present = named & set(range(len(ages)))
    assert present <= left
    assert {number for number, age in enumerate(ages) if age < 1} <= left
    assert len(left) <= max(len(present) + 3, len([age for age in ages if age <= 1]) + len(present) + 3)
    assert len(left - present) >= min(3, len(ages) - len(present))


def test_a_copy_that_was_asked_for_just_now_stays(tmp_path: Path):
    copies = BundleCache(tmp_path)
    places = [copied(copies, f"d{number}", f"{number}.0.0", hours_ago=5) for number in range(6)]
    for place in places:
        copies.used(place)
    copies.prune("m", set(), places[0].stat().st_mtime)
    assert len(kept(tmp_path)) == 6
    copies.used(tmp_path / "nowhere")


def test_a_copy_is_there_whole_or_not_at_all(tmp_path: Path):
    copies, place = BundleCache(tmp_path), tmp_path / "d" / "m" / "1.0.0"

    def broken(name: str) -> bytes:
        if name == "b":
            raise OSError("the storage went away")
        return b"a"

    with pytest.raises(OSError, match="went away"):
        copies.fetch(place, ["a", "b"], broken)
    assert not list((tmp_path / "d" / "m").iterdir())
    copies.fetch(place, ["a"], broken)
    copies.fetch(place, ["a"], broken)
    assert [file.name for file in place.iterdir()] == ["a"]
