from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from skewless.scaffold.shop import make_shop
from tests.scaffold.own_project import OwnProject, command, texts
from tests.services.serve_process import SKEWLESS


def test_five_commands_from_nothing_to_a_proven_prediction(tmp_path: Path, redis_url: str):
    printed = command(tmp_path, redis_url, str(SKEWLESS), "init", "corner-shop")
    assert "cd corner-shop && skewless build" in printed
    project = OwnProject(tmp_path / "corner-shop", redis_url)
    assert "4 passed" in project.own_tests()

    built = project.run("build")
    steps = ["apply", "ingest", "training-set", "train", "publish", "materialize"]
    assert [line.split()[0] for line in built.splitlines() if line.split()[0] in steps] == steps
    answer = project.predict(built)
    assert 0 < answer["scores"][0] < 1
    assert {value["status"] for feature in answer["features"] for value in feature.values()} == {"PRESENT"}
    audit = project.run("audit")
    assert "0 of 5 feature values differ" in audit
    assert "0 of 1 scores differ" in audit

    again = project.run("build")
    assert "0 files changed" in again
    assert "published before, unchanged" in again
    assert "0 rows written" in again

    project.run("publish", "--version", "2.0.0")
    project.run("models", "rollback", "buys_again", "--reason", "worse", "--by", "ada")
    kept = " ".join(project.run("build").split())
    assert "is not promoted: ada rolled back at" in kept
    assert "1.0.0 champion" in project.run("models", "list")


def test_build_stops_at_the_step_that_fails(tmp_path: Path, redis_url: str):
    make_shop(tmp_path / "shop", date(2026, 3, 1))
    tables = tmp_path / "shop" / "feature_repo" / "tables.py"
    tables.write_text(tables.read_text() + "\n\nraise ValueError('no rows today')\n")
    printed = OwnProject(tmp_path / "shop", redis_url).run("build", status=2)
    assert "no rows today" in printed
    assert "training-set" not in printed


def test_the_same_day_makes_the_same_project(tmp_path: Path):
    for place in ("here", "there"):
        (tmp_path / place).mkdir()
        make_shop(tmp_path / place / "shop", date(2026, 3, 1))
    here, there = (texts(tmp_path / place) for place in ("here", "there"))
    assert here.replace(str(tmp_path / "here"), "") == there.replace(str(tmp_path / "there"), "")
    assert "date(2026, 3, 1)" in here


@pytest.mark.parametrize("word", ["flight", "carrier", "airport", "aircraft"])
def test_nothing_of_the_example_is_in_it(tmp_path: Path, word: str):
    make_shop(tmp_path / "shop", date(2026, 3, 1))
    assert word not in texts(tmp_path / "shop").lower()
