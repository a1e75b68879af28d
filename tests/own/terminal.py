"""A terminal of somebody who has only the wheel: an empty environment, an empty folder, and a clock beside each line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from skewless.online.store.valkey_process import free_port
from tests.packaging.distributions import build
from tests.packaging.installation import Installation, clean_environment

LONGEST_S = 1800


@dataclass(slots=True)
class Terminal:
    """`folder` is where it stands; `lines` are those typed so far, each with its seconds."""

    environment: Path
    folder: Path
    port: int = field(default_factory=free_port)
    variables: dict[str, str] = field(default_factory=dict)
    lines: list[tuple[str, float]] = field(default_factory=list, init=False)

    @classmethod
    def open(cls, folder: Path, uv: str, extra: str) -> Terminal:
        """Build the wheel and install it. Its time is printed, and not counted."""
        begin = time.monotonic()
        wheel = build("wheel", folder / "dist")
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        installed = Installation("uv", version, extra, folder / "installed", (uv,))
        installed.make(Path(sys._base_executable), wheel)
        print_step(f"build the wheel and install {installed.name}, not counted", time.monotonic() - begin)
        (folder / "work").mkdir()
        return cls(installed.environment, folder / "work")

    def run(self, line: str, *, status: int = 0) -> str:
        """What a line of the shell prints. Raises: SystemExit with that where it ends otherwise."""
        begin = time.monotonic()
        done = subprocess.run(
            ["/bin/sh", "-c", line],
            cwd=self.folder,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LONGEST_S,
            check=False,
        )
        self._step(line, begin)
        if done.returncode != status:
            raise SystemExit(f"{line}\nended with {done.returncode}, not {status}:\n{done.stdout}")
        return done.stdout

    @contextmanager
    def serving(self) -> Iterator[str]:
        """`skewless serve` in a second terminal, once it is ready; its URL. It must end well."""
        begin, line, url = time.monotonic(), "skewless serve", f"http://127.0.0.1:{self.port}"
        log = self.folder / ".skewless" / "serve.log"
        with log.open("w") as out:
            words = [self.environment / "bin" / "skewless", "serve", "--port", str(self.port)]
            process = subprocess.Popen(words, cwd=self.folder, env=self._environment(), stdout=out, stderr=out)
        try:
            while not _ready(url):
                if process.poll() is not None or time.monotonic() - begin > LONGEST_S:
                    raise SystemExit(f"{line} is not ready:\n{log.read_text()}")
                time.sleep(0.05)
            self._step(line, begin)
            yield url
        finally:
            process.terminate()
            ended = process.wait(LONGEST_S)
        if ended not in (0, -signal.SIGTERM):
            raise SystemExit(f"{line} ended with {ended}:\n{log.read_text()}")

    def _environment(self) -> dict[str, str]:
        path = f"{self.environment / 'bin'}{os.pathsep}{os.environ['PATH']}"
        return clean_environment(PATH=path, COLUMNS="200", **self.variables)

    def _step(self, line: str, begin: float) -> None:
        self.lines.append((line, time.monotonic() - begin))
        print_step(*self.lines[-1])


def stop_well() -> None:
    """Told to end, this process first ends what it started."""
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))


def print_step(line: str, seconds: float) -> None:
    print(f"{seconds:7.1f} s  {line if len(line) <= 110 else line[:107] + '...'}", flush=True)


def _ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz").status_code == 200
    except httpx.TransportError:
        return False
