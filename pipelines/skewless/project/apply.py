"""Applies the definitions of a feature repository: Feast's own `apply`, in a process of its own.

Feast imports every file of the repository under its bare name and changes the working folder; neither should happen
to the calling process.

Held by tests/feast/test_apply.py.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from skewless.contract.errors import SkewlessError
from skewless.online.store.connection import RedisUnreachable
from skewless.online.store.redis_errors import StoreFull, StoreReadOnly
from skewless.online.store.valkey_process import EmbeddedServerFailed
from skewless.project.project import Project

_OUTPUT_LINES = 12
_PROGRAM = """
import sys
from feast.cli.cli import cli
from skewless.contract.errors import SkewlessError
try:
    cli()
except SkewlessError as refused:
    sys.exit(str(refused))
"""
"""Feast's CLI, where what our stores refuse is its own last line instead of a traceback's."""


@dataclass(eq=False)
class ApplyFailed(SkewlessError):
    """Feast refused the definitions."""

    repo: str
    output: str

    def __str__(self) -> str:
        return f"the definitions in {self.repo} were not applied; Feast says:\n{self.output}"


def run(repo: Path) -> str:
    """Apply the definitions; what Feast printed. Applying again changes nothing. Raises: ApplyFailed."""
    command = [sys.executable, "-W", "ignore", "-c", _PROGRAM, "-c", str(repo), "apply"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = (done.stdout + done.stderr).strip().splitlines()
        raise ApplyFailed(str(repo), "\n".join(lines[-_OUTPUT_LINES:]))
    return done.stdout


def register_push_targets(work: Project) -> SkewlessError | None:
    """Write each view's push target to the online store; the error where the store cannot be written, else None. The
    definitions are applied either way: that needs no online store.
    """
    try:
        work.targets()
    except (RedisUnreachable, StoreFull, StoreReadOnly, EmbeddedServerFailed) as error:
        return error
    return None
