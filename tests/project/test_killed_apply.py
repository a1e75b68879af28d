"""An apply that is killed before any of its writes harms no live model, and applying again ends it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from skewless.contract.storage import catalog
from tests.checkout import ROOT
from tests.project.changing_project import HOUR, NOON, ChangingProject, definitions

pytestmark = [
    pytest.mark.filterwarnings("ignore::RuntimeWarning:feast", "ignore::DeprecationWarning"),
    pytest.mark.timeout(2400),
]
RENAMED = definitions(fields={"total": "Float64", "visits": "Int64"}, mapping={"amount": "total"})
REMOVED = definitions("purchases")
KILLED = -9


@contextmanager
def killer() -> Iterator[subprocess.Popen[str]]:
    program = [sys.executable, "-W", "ignore", "-m", "tests.faults.killed_apply"]
    with subprocess.Popen(program, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.terminate()


def environment(root: Path, redis_url: str) -> dict[str, str]:
    return {
        "SKEWLESS_STATE": str(root / "state"),
        "SKEWLESS_FEATURE_REPO": str(root / "feature_repo"),
        "SKEWLESS_REDIS_URL": redis_url,
    }


def run(process: subprocess.Popen[str], root: Path, settings: Mapping[str, str], write: int) -> int:
    """Apply, killed before its write of that number; the exit status."""
    order = {"environment": dict(settings), "repo": str(root / "feature_repo"), "write": write}
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(order) + "\n")
    process.stdin.flush()
    return int(process.stdout.readline())


def outcome(project: ChangingProject) -> tuple[Any, ...]:
    """What an apply leaves in registry, records and push targets, but for times."""
    work = project.work
    records = {(r.stored_as, r.digest, r.removed_at is None) for r in work.recorded.records()}
    views = [(view.stored_as, source.superseded) for view, source in work.definitions()]
    states = [state.objects for state in work.recorded.log.history()]
    entries = work.client.hgetall(catalog.catalog_key("shop"))
    return records, views, states, {name: entry for name, entry in entries.items() if name.startswith(b"target:")}


@dataclass
class KilledApplies:
    """Copies of a project, in each of which the same apply is killed before another write."""

    template: ChangingProject
    folder: Path
    redis: Redis
    redis_url: str
    process: subprocess.Popen[str]
    environment: pytest.MonkeyPatch

    def __post_init__(self) -> None:
        self.expected = {version: self.template.expected(version, NOON) for version in ("2.0.0", "3.0.0")}
        self.rows = {key: self.redis.dump(key) for key in self.redis.keys("*")}

    def copy(self, name: str) -> ChangingProject:
        """The project as it was, with settings of its own."""
        root = self.folder / name
        shutil.copytree(self.template.root, root)
        self.redis.flushall()
        for key, dumped in self.rows.items():
            self.redis.restore(key, 0, dumped)
        for setting, value in environment(root, self.redis_url).items():
            self.environment.setenv(setting, value)
        return ChangingProject(root, self.template.trained)

    def apply(self, project: ChangingProject, write: int = 1_000_000) -> int:
        return run(self.process, project.root, environment(project.root, self.redis_url), write)

    def check(self, project: ChangingProject, why: str) -> None:
        """Every live version has the rows that it was trained on."""
        for version, scores in self.expected.items():
            assert project.served(version, NOON) == scores, why


@pytest.fixture
def applies(tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[KilledApplies]:
    """The view is to be removed while the champion and the one before it read it, and a definition that nobody reads."""
    first = tmp_path / "first"
    for name, value in environment(first, redis_url).items():
        monkeypatch.setenv(name, value)
    first.mkdir()
    project = ChangingProject(first)
    project.write(NOON - 5 * HOUR, "part-0", [10.0, 20.0, 30.0])
    project.apply(definitions())
    project.publish("1.0.0")
    project.apply(RENAMED)
    project.materialize(NOON)
    project.publish("2.0.0")
    project.publish("3.0.0")
    project.define(REMOVED)
    with killer() as process, Redis.from_url(redis_url) as redis:
        yield KilledApplies(project, tmp_path, redis, redis_url, process, monkeypatch)


def test_an_apply_that_is_killed_anywhere_is_ended_by_the_next(applies: KilledApplies):
    project = applies.copy("whole")
    assert applies.apply(project) == 0
    applies.check(project, "nothing was killed")
    final, write, status = outcome(project), 0, KILLED
    while status == KILLED:
        project = applies.copy(f"killed-{write}")
        status = applies.apply(project, write)
        why = f"killed before write {write}"
        applies.check(project, why)
        if status == KILLED:
            project.materialize(NOON)
            applies.check(project, f"{why}, and materialized before the next apply")
            assert applies.apply(project) == 0
            applies.check(project, f"{why}, and applied again")
        assert outcome(project) == final, why
        write += 1
    assert status == 0
    assert write > 8, "each of them was tried"
