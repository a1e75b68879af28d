from __future__ import annotations

import subprocess
import sys

import pytest

from skewless.runtime.feast_import import main_with_feast

SCRIPT = """
import sys
from skewless.runtime.feast_import import check_constructors_alone

{before}
check_constructors_alone()
check_constructors_alone()
import feast

def checked(function):
    return "typeguard" in function.__code__.co_names

print("constructor", checked(feast.OnDemandFeatureView.__init__))
print("method", checked(feast.OnDemandFeatureView.to_proto))
try:
    feast.FeatureView(name=3, source=None)
except Exception as error:
    print(type(error).__name__)
print("finders", [finder for finder in sys.meta_path if type(finder).__module__.startswith("skewless")])
{after}
"""
OTHER = """
import typeguard

@typeguard.typechecked
class Mine:
    def double(self, number: int) -> int:
        return 2 * number

@typeguard.typechecked(typecheck_fail_callback=None)
def half(number: int) -> float:
    return number / 2

for call in (Mine().double, half):
    try:
        call("one")
    except typeguard.TypeCheckError:
        print("another package's checks stay")
"""


@pytest.fixture
def printed(tmp_path):
    def run(before: str = "", after: str = "") -> str:
        file = tmp_path / "script.py"
        file.write_text(SCRIPT.format(before=before, after=after))
        done = subprocess.run([sys.executable, "-W", "ignore", file], capture_output=True, text=True, check=True)
        return done.stdout

    return run


def test_what_takes_what_a_person_wrote_is_checked_and_other_methods_are_not(printed):
    said = printed()
    assert "constructor True\nmethod False\nTypeCheckError\n" in said
    assert "finders []" in said


def test_other_packages_keep_their_checks(printed):
    assert printed(after=OTHER).count("another package's checks stay") == 2


def test_who_only_asks_for_feast_loads_nothing(printed):
    asks = "import importlib.util"
    said = printed(
        before=f"{asks}; check_constructors_alone(); importlib.util.find_spec('feast'); print('typeguard' in sys.modules)"
    )
    assert said.startswith("False\n")
    assert "constructor True\nmethod False" in said


def test_where_feast_is_imported_already_nothing_changes(printed):
    assert "method True" in printed(before="import feast")


def test_a_process_of_ours_runs_with_it(tmp_path, monkeypatch):
    main = "import sys, feast\ndef main(): print(sys.argv[1], 'typeguard' in feast.Entity.to_proto.__code__.co_names)"
    (tmp_path / "with_feast.py").write_text(main)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    done = subprocess.run(main_with_feast("with_feast", "given"), capture_output=True, text=True, check=True)
    assert done.stdout == "given False\n"
