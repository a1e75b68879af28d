"""A project that a person makes with the real commands, each a process of its own, in an empty folder."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.services.serve_process import SKEWLESS, served

LONGEST_S = 400


@dataclass(frozen=True)
class OwnProject:
    folder: Path
    redis_url: str

    def run(self, *words: str, status: int = 0) -> str:
        """What a verb prints on stdout and stderr."""
        return command(self.folder, self.redis_url, str(SKEWLESS), *words, status=status)

    def own_tests(self) -> str:
        return command(self.folder, self.redis_url, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider")

    def predict(self, built: str) -> dict:
        """The answer to the request that `build` printed."""
        line = next(line for line in built.splitlines() if line.strip().startswith("curl"))
        words = shlex.split(line)
        path = next(word for word in words if word.startswith("http://")).split("/", 3)[3]
        with served(self.folder / ".skewless", self.redis_url) as (_, client):
            answer = client.post(f"/{path}", json=json.loads(words[-1]))
            assert answer.status_code == 200, answer.text
            return answer.json()


def command(folder: Path, redis_url: str, *words: str, status: int = 0) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("SKEWLESS_", "PYTEST_"))}
    done = subprocess.run(
        words,
        cwd=folder,
        env=environment | {"SKEWLESS_REDIS_URL": redis_url},
        capture_output=True,
        text=True,
        timeout=LONGEST_S,
        check=False,
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


def texts(folder: Path) -> str:
    """All that was written for the person, in one text."""
    inside = [path for path in sorted(folder.rglob("*")) if path.is_file() and ".skewless" not in path.parts]
    return "\n".join(f"{path}\n{path.read_text()}" for path in inside if path.suffix != ".pyc")
