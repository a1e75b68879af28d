"""`skewless apply` alone makes a view one that servers take pushed rows of; and it needs no online store."""

from __future__ import annotations

import pytest
from redis import Redis
from typer.testing import CliRunner, Result

from skewless.cli import app
from skewless.contract.storage.catalog import catalog_key, view_field
from skewless.contract.storage.push_target import check_target, parse_target, target_field
from skewless.project import apply
from skewless.project.apply_report import ApplyReport
from tests.tables.scratch_project import ScratchProject

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning:feast", "ignore::DeprecationWarning")


def applied() -> Result:
    done = CliRunner().invoke(app, ["apply"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done


def test_applied_views_can_be_pushed_to(project: ScratchProject, redis: Redis, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SKEWLESS_FEATURE_REPO", str(project.repo))
    monkeypatch.setattr(apply, "run", lambda _, **__: ApplyReport())  # the project is applied already
    redis.flushall()
    assert "warning" not in applied().output
    entries = redis.hgetall(catalog_key("scratch"))
    target = parse_target(entries[target_field("told")])
    assert target is not None
    assert check_target(target).folder == "told"
    assert view_field("told") not in entries, "the store still has no rows of it"
    monkeypatch.setenv("SKEWLESS_REDIS_URL", "redis://127.0.0.1:1")
    assert "warning: servers refuse pushed rows of new views" in applied().output
