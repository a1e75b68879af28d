from __future__ import annotations

from pathlib import Path

import pytest

from skewless.files.state_root import find_root


def project(top: Path) -> Path:
    (top / "feature_repo").mkdir(parents=True)
    (top / "feature_repo/feature_store.yaml").touch()
    return top


@pytest.mark.parametrize("inside", [".", "feature_repo", "serving/contract"])
def test_the_root_is_beside_the_definitions_wherever_in_the_project_one_stands(tmp_path: Path, inside: str):
    top = project(tmp_path / "project")
    (top / inside).mkdir(parents=True, exist_ok=True)
    assert find_root(top / inside) == top / ".skewless"


def test_the_nearest_project_is_meant(tmp_path: Path):
    project(tmp_path)
    inner = project(tmp_path / "inner")
    assert find_root(inner / "feature_repo") == inner / ".skewless"


def test_without_a_project_it_is_here(tmp_path: Path):
    assert find_root(tmp_path) == tmp_path / ".skewless"


@pytest.mark.parametrize(
    ("given", "meant"), [("/srv/x", "/srv/x"), ("x", "/here/x"), ("../x", "/x"), ("./a/../b", "/here/b")]
)
def test_a_given_root_is_taken_and_made_absolute(given: str, meant: str):
    assert find_root(Path("/here"), Path(given)) == Path(meant)


def test_a_repository_under_another_name_is_found_from_inside(tmp_path: Path):
    (tmp_path / "cars" / "data").mkdir(parents=True)
    (tmp_path / "cars" / "feature_store.yaml").touch()
    assert find_root(tmp_path / "cars" / "data") == tmp_path / "cars" / ".skewless"
