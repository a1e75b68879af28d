"""`skewless serve` as a process of its own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from skewless.online.store.valkey_process import free_port
from tests.services.waiting import HANG_SECONDS, until

SKEWLESS = Path(sys.executable).parent / "skewless"


@contextmanager
def served(
    state: Path, redis_url: str, *arguments: str, wait: bool = True
) -> Iterator[tuple[subprocess.Popen[str], httpx.Client]]:
    """The verb, ready to answer; when the block ends it is told to stop and must end well. Its log: `stderr`."""
    port = free_port()
    environment = {
        "SKEWLESS_STATE": str(state),
        "SKEWLESS_REDIS_URL": redis_url,
        "SKEWLESS_SERVED_LOG_FLUSH_S": "600",
        "SKEWLESS_REDIS_TIMEOUT_S": str(HANG_SECONDS),
        "PROMETHEUS_MULTIPROC_DIR": "/a/folder/of/feast/that/is/gone",
    }
    with (state / "stderr").open("w") as stderr:
        process = subprocess.Popen(
            [SKEWLESS, "serve", "--port", str(port), *arguments],
            cwd=state,
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=stderr,
        )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=HANG_SECONDS) as client:
            if wait:
                until(lambda: process.poll() is not None or ready(client))
            yield process, client
    finally:
        process.terminate()
        out, _ = process.communicate(timeout=HANG_SECONDS)
        err = (state / "stderr").read_text()
    assert out == ""
    assert all(json.loads(line)["level"] in ("info", "warning") for line in err.splitlines()), err
    assert process.returncode in (0, -signal.SIGTERM), err


def ready(client: httpx.Client) -> bool:
    try:
        return client.get("/readyz").status_code == 200
    except httpx.TransportError:
        return False
