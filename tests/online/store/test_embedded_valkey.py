from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from redis import Redis

from skewless.contract.state_folder import StateFolders
from skewless.online.store import embedded_valkey
from skewless.online.store.valkey_process import EmbeddedServerFailed, ValkeyProcess
from skewless.runtime.settings import ProjectSettings


@pytest.fixture
def folders(tmp_path: Path):
    folders = StateFolders(tmp_path / "state")
    yield folders
    embedded_valkey.stop(folders)


def client(server: embedded_valkey.RunningValkey) -> Redis:
    return Redis.from_url(server.url)


def set_one(server: embedded_valkey.RunningValkey, value: str) -> None:
    with client(server) as connection:
        connection.set("key", value)


def get_one(server: embedded_valkey.RunningValkey) -> bytes | None:
    with client(server) as connection:
        return connection.get("key")


def gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return True
    return state == "Z"


def test_it_is_configured_for_packed_rows_and_for_this_machine_only(folders: StateFolders):
    server = embedded_valkey.start(folders, persistent=True)
    with client(server) as connection:
        told = connection.config_get("*")
    assert told["hash-max-listpack-value"] == "1024"
    assert told["maxmemory-policy"] == "noeviction"
    assert told["protected-mode"] == "yes"
    assert told["bind"] == "127.0.0.1"
    assert told["port"] == "0"
    assert told["appendonly"] == "yes"
    assert folders.redis_socket.stat().st_mode & 0o077 == 0


def test_a_row_longer_than_redis_default_stays_packed(folders: StateFolders):
    with embedded_valkey.running(folders) as server, client(server) as connection:
        connection.hset("entity", "view", b"x" * 1024)
        assert connection.object("encoding", "entity") == b"listpack"


def test_a_second_start_finds_the_first(folders: StateFolders):
    first = embedded_valkey.start(folders, persistent=False)
    second = embedded_valkey.start(folders, persistent=False)
    assert first.started
    assert not second.started
    assert (first.url, first.pid) == (second.url, second.pid)
    assert embedded_valkey.status(folders) == second


def test_starts_that_race_end_with_one_server(folders: StateFolders):
    script = "import sys; from pathlib import Path; from skewless.online.store import embedded_valkey; from skewless.contract.state_folder import StateFolders\n"
    script += "print(embedded_valkey.start(StateFolders(Path(sys.argv[1])), persistent=True).pid)"
    racers = [
        subprocess.Popen([sys.executable, "-c", script, folders.root], stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    with ThreadPoolExecutor(4) as threads:
        here = list(threads.map(lambda _: embedded_valkey.start(folders, persistent=True).pid, range(4)))
    pids = {int(racer.communicate(timeout=300)[0]) for racer in racers}
    assert pids | set(here) == {embedded_valkey.status(folders).pid}


def test_it_outlives_the_process_that_started_it(folders: StateFolders):
    script = "import sys; from pathlib import Path; from skewless.online.store import embedded_valkey; from skewless.contract.state_folder import StateFolders\n"
    script += "embedded_valkey.start(StateFolders(Path(sys.argv[1])), persistent=True)"
    subprocess.run([sys.executable, "-c", script, folders.root], check=True, timeout=300)
    server = embedded_valkey.status(folders)
    assert server is not None
    assert os.getsid(server.pid) != os.getsid(0)


def test_data_survives_down_and_up_where_asked(folders: StateFolders):
    set_one(embedded_valkey.start(folders, persistent=True), "kept")
    assert embedded_valkey.stop(folders)
    assert get_one(embedded_valkey.start(folders, persistent=True)) == b"kept"


def test_data_survives_a_kill_where_asked(folders: StateFolders):
    server = embedded_valkey.start(folders, persistent=True)
    set_one(server, "kept")
    os.kill(server.pid, signal.SIGKILL)
    again = embedded_valkey.start(folders, persistent=True)
    assert again.started
    assert again.pid != server.pid
    assert get_one(again) == b"kept"


def test_data_goes_where_persistence_was_not_asked(folders: StateFolders):
    set_one(embedded_valkey.start(folders, persistent=False), "gone")
    embedded_valkey.stop(folders)
    assert get_one(embedded_valkey.start(folders, persistent=False)) is None


def test_a_server_with_another_persistence_is_not_passed_off_as_the_asked_one(folders: StateFolders):
    embedded_valkey.start(folders, persistent=False)
    with pytest.raises(embedded_valkey.OtherServerRuns, match=r"in memory only.*skewless down"):
        embedded_valkey.start(folders, persistent=True)


def test_down_leaves_nothing_and_may_be_repeated(folders: StateFolders):
    server = embedded_valkey.start(folders, persistent=True)
    assert embedded_valkey.stop(folders)
    assert gone(server.pid)
    assert not folders.redis_socket.exists()
    assert not ValkeyProcess(folders).pid_file.exists()
    assert embedded_valkey.status(folders) is None
    assert not embedded_valkey.stop(folders)


def test_down_of_a_folder_that_never_was_makes_none(tmp_path: Path):
    folders = StateFolders(tmp_path / "never")
    assert not embedded_valkey.stop(folders)
    assert embedded_valkey.status(folders) is None
    assert not folders.root.exists()


def test_the_block_ends_the_server(folders: StateFolders):
    with embedded_valkey.running(folders) as server:
        assert not gone(server.pid)
    assert gone(server.pid)


def test_a_stale_pid_file_of_a_living_stranger_harms_nobody(folders: StateFolders):
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        folders.redis.mkdir(parents=True)
        ValkeyProcess(folders).pid_file.write_text(str(stranger.pid))
        assert embedded_valkey.status(folders) is None
        assert not embedded_valkey.stop(folders)
        ValkeyProcess(folders).pid_file.write_text(str(stranger.pid))
        assert embedded_valkey.start(folders, persistent=False).pid != stranger.pid
        embedded_valkey.stop(folders)
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_stale_socket_is_cleared(folders: StateFolders):
    folders.redis.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(folders.redis_socket))
    assert folders.redis_socket.exists()
    assert embedded_valkey.start(folders, persistent=False).started


def test_a_frozen_server_is_named_and_down_still_ends_it(folders: StateFolders, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("skewless.online.store.valkey_process.ANSWER_SECONDS", 0.1)
    monkeypatch.setattr(embedded_valkey, "SILENCE_SECONDS", 0.2)
    server = embedded_valkey.start(folders, persistent=False)
    os.kill(server.pid, signal.SIGSTOP)
    with pytest.raises(EmbeddedServerFailed, match="does not answer"):
        embedded_valkey.status(folders)
    with pytest.raises(EmbeddedServerFailed, match="has not answered for 0 s"):
        embedded_valkey.start(folders, persistent=False, seconds=0.2)
    assert embedded_valkey.stop(folders, seconds=0.3)
    assert gone(server.pid)


def test_a_server_whose_folder_was_deleted_is_not_shadowed(tmp_path: Path):
    """Its socket lies in the temporary folder and still answers, but the lock is gone."""
    root = tmp_path / ("long" * 30)
    folders = StateFolders(root, temporary=tmp_path)
    server = embedded_valkey.start(folders, persistent=False)
    try:
        (folders.redis / "server.lock").unlink()
        with pytest.raises(embedded_valkey.StrangerOnSocket, match=f"process {server.pid} answers"):
            embedded_valkey.start(folders, persistent=False)
        assert not embedded_valkey.stop(folders)
        with client(server) as connection:
            assert connection.ping()
    finally:
        os.kill(server.pid, signal.SIGTERM)
        while not gone(server.pid):
            time.sleep(0.01)


def test_it_listens_on_a_free_port_of_the_loopback(folders: StateFolders):
    server = embedded_valkey.start(folders, persistent=False, port=embedded_valkey.FREE_PORT)
    assert server.url.startswith("redis://127.0.0.1:")
    set_one(server, "by port")
    assert embedded_valkey.start(folders, persistent=False, port=embedded_valkey.FREE_PORT).url == server.url
    assert embedded_valkey.start(folders, persistent=False).url == server.url
    port = int(server.url.rpartition(":")[2])
    with pytest.raises(embedded_valkey.OtherServerRuns, match=server.url):
        embedded_valkey.start(folders, persistent=False, port=port - 1)


def test_a_taken_port_is_named(folders: StateFolders):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(EmbeddedServerFailed, match=r"(?s)already in use|listening"):
            embedded_valkey.start(folders, persistent=False, port=taken.getsockname()[1])
    assert embedded_valkey.status(folders) is None


def test_a_broken_append_only_file_is_named(folders: StateFolders):
    set_one(embedded_valkey.start(folders, persistent=True), "kept")
    embedded_valkey.stop(folders)
    for file in (folders.redis / "appendonlydir").glob("*.incr.aof"):
        file.write_bytes(b"nonsense" + file.read_bytes())
    with pytest.raises(EmbeddedServerFailed, match=r"Bad file format.*valkey\.log"):
        embedded_valkey.start(folders, persistent=True)


def test_ensure_starts_the_embedded_server_where_it_is_meant(folders: StateFolders):
    settings = ProjectSettings(state=folders.root)
    assert embedded_valkey.ensure(settings) == settings.redis_url
    first = embedded_valkey.status(folders)
    assert first is not None
    assert first.persistent
    embedded_valkey.ensure(settings)
    assert embedded_valkey.status(folders).pid == first.pid


def test_ensure_starts_nothing_where_another_server_is_named(folders: StateFolders):
    settings = ProjectSettings(state=folders.root, redis_url="redis://elsewhere:6379")
    assert embedded_valkey.ensure(settings) == "redis://elsewhere:6379"
    assert not folders.root.exists()
