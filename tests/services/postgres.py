"""A real PostgreSQL server for tests: one per session on the loopback, a new database for each test that asks."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from skewless.online.store.valkey_process import free_port

PASSWORD = "sk3w/less@test"
MISSING = (
    "PostgreSQL's initdb and postgres are neither on the PATH nor under /usr/lib/postgresql; "
    "install them (Debian, Ubuntu: apt install postgresql)"
)


@dataclass(frozen=True)
class Postgres:
    port: int

    def connect(self) -> psycopg.Connection:
        return psycopg.connect(
            host="127.0.0.1",
            port=self.port,
            user="skewless",
            password=PASSWORD,
            dbname="postgres",
            autocommit=True,
        )


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    binaries = _binaries()
    if binaries is None:
        if os.environ.get("CI"):
            pytest.fail(MISSING)
        pytest.skip(MISSING)
    # Not under pytest's own folder, which an unprivileged user may not enter.
    folder = Path(tempfile.mkdtemp(prefix="skewless-postgres-"))
    process = None
    try:
        server = Postgres(free_port())
        process = _start(binaries, folder, server.port)
        _await(server, process, folder)
        yield server
    finally:
        if process is not None:
            process.send_signal(signal.SIGINT)  # "fast shutdown"
            process.wait(20)
        shutil.rmtree(folder)


@pytest.fixture
def postgres_url(postgres: Postgres) -> str:
    """URL of an empty database, with a password that needs quoting; bare `postgresql://`, as operators write it."""
    name = f"t{secrets.token_hex(6)}"
    with postgres.connect() as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return f"postgresql://skewless:sk3w%2Fless%40test@127.0.0.1:{postgres.port}/{name}"


def _binaries() -> Path | None:
    on_path = shutil.which("initdb")
    versions = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]), reverse=True
    )
    for initdb in [Path(on_path).resolve()] * bool(on_path) + versions:
        if (initdb.parent / "postgres").is_file():
            return initdb.parent
    return None


def _start(binaries: Path, folder: Path, port: int) -> subprocess.Popen[bytes]:
    """`initdb` and `postgres` refuse root: then they run as an existing unprivileged user, who owns `folder`."""
    as_user: dict[str, object] = {}
    if os.geteuid() == 0:
        user = _unprivileged()
        os.chown(folder, user.pw_uid, user.pw_gid)
        as_user = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    password_file = folder / "password"
    password_file.write_text(PASSWORD)
    password_file.chmod(0o644)
    data = folder / "data"
    initdb = [binaries / "initdb", "-D", data, "-U", "skewless", "-A", "scram-sha-256", "--no-sync"]
    initdb += ["--no-locale", "-E", "UTF8", f"--pwfile={password_file}"]
    subprocess.run(initdb, check=True, capture_output=True, cwd=folder, **as_user)
    options = ["-h", "127.0.0.1", "-p", str(port), "-k", "", "-F", "-c", "max_connections=50"]
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(
            [binaries / "postgres", "-D", data, *options], stdout=log, stderr=log, cwd=folder, **as_user
        )


def _unprivileged() -> pwd.struct_passwd:
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    pytest.fail("neither user postgres nor nobody exists; run the tests as an ordinary user")


def _await(server: Postgres, process: subprocess.Popen[bytes], folder: Path) -> None:
    last = time.monotonic() + 20
    while True:
        try:
            server.connect().close()
            return
        except psycopg.OperationalError:
            if process.poll() is not None or time.monotonic() > last:
                pytest.fail(f"PostgreSQL does not start: {(folder / 'log').read_text()}")
            time.sleep(0.05)
