"""Applies the definitions of a feature repository: Feast's own `apply`, in a process of its own, then the online store.

Feast imports every file of the repository under its bare name and changes the working folder; neither should happen
to the calling process.

Held by tests/feast/test_apply.py and tests/project/test_apply_change.py.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec

from skewless.contract.errors import SkewlessError
from skewless.online.store.connection import RedisUnreachable
from skewless.online.store.redis_errors import StoreFull, StoreReadOnly
from skewless.online.store.valkey_process import EmbeddedServerFailed
from skewless.project.apply_report import ApplyReport, ApplyRequest
from skewless.project.project import ProjectContext
from skewless.project.retained_definitions import sweep
from skewless.runtime.feast_import import main_with_feast
from skewless.runtime.store_file import require_definitions

_OUTPUT_LINES = 12


@dataclass(eq=False)
class ApplyFailed(SkewlessError):
    """Feast refused the definitions."""

    repo: str
    output: str

    def __str__(self) -> str:
        return f"the definitions in {self.repo} were not applied; Feast says:\n{self.output}"


@dataclass(eq=False)
class ApplyRefused(SkewlessError):
    """The definitions were refused before anything was written."""

    repo: str
    reason: str

    def __str__(self) -> str:
        return f"the definitions in {self.repo} were not applied: {self.reason}"


def run(repo: Path, *, at: datetime, by: str = "", now: bool = False, force: bool = False) -> ApplyReport:
    """Apply the definitions; what became of those that live models read. Applying again changes nothing, and ends what a
    killed run began. `at` and `by` say when and who, for the records.

    With `now` no definition is kept for live models; with `force` older definitions are applied too.
    Raises: FeatureRepoMissing, ApplyRefused before anything is written; ApplyFailed.
    """
    require_definitions(repo)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "report.json"
        request = ApplyRequest(str(repo.absolute()), str(file), at, by, now=now, force=force)
        command = main_with_feast("skewless.project.feast_apply", msgspec.json.encode(request).decode())
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
            raise ApplyFailed(str(repo), "\n".join(lines[-_OUTPUT_LINES:]))
        report = msgspec.json.decode(file.read_bytes(), type=ApplyReport)
    if report.refused is not None:
        raise ApplyRefused(str(repo), report.refused)
    return report


def update_online_store(work: ProjectContext, at: datetime, drop: Collection[str] = ()) -> SkewlessError | None:
    """Remove definitions that no live model reads, or that are to be dropped, and write each view's push target to the
    online store; the error where the store cannot be written, else None. The definitions are applied either way: that
    needs no online store.
    """
    try:
        sweep(work, at, drop=drop)
        work.targets()
    except (RedisUnreachable, StoreFull, StoreReadOnly, EmbeddedServerFailed) as error:
        return error
    return None
