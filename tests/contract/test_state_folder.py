from __future__ import annotations

import os
from pathlib import Path

import pytest

from skewless.contract.state_folder import LONGEST_SOCKET_PATH, StateFolders, find_root


def project(top: Path) -> Path:
    (top / "feature_repo").mkdir(parents=True)
    (top / "feature_repo/feature_store.yaml").touch()
    return top


def test_everything_lies_under_the_root():
    folders = StateFolders(Path("/srv/state"))
    for name in (
        "data",
        "registry_db",
        "state_db",
        "models",
        "served",
        "training",
        "reports",
        "redis",
        "redis_socket",
    ):
        assert getattr(folders, name).is_relative_to(folders.root), name


def test_a_relative_root_is_refused():
    with pytest.raises(ValueError, match="not an absolute path"):
        StateFolders(Path(".skewless"))


@pytest.mark.parametrize("length", [40, 99, 100, 101, 200])
def test_the_socket_path_always_fits(length: int):
    tail = len("/redis/valkey.sock")
    root = Path("/" + "r" * (length - tail - 1))
    socket = StateFolders(root, temporary=Path("/tmp")).redis_socket
    assert len(os.fsencode(socket)) <= LONGEST_SOCKET_PATH
    assert socket.is_relative_to(root) == (length <= LONGEST_SOCKET_PATH)
    assert socket == StateFolders(root, temporary=Path("/tmp")).redis_socket


def test_long_roots_have_sockets_of_their_own():
    one, two = (StateFolders(Path("/") / ("r" * 200) / name).redis_socket for name in "ab")
    assert one != two
    assert one.parent == Path("/tmp")


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
