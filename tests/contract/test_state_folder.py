from __future__ import annotations

import os
from pathlib import Path

import pytest

from skewless.contract.state_folder import LONGEST_SOCKET_PATH, StateFolders


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
