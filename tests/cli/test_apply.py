"""What who types `skewless apply` is told of models that read the old definitions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.shop_project import Skewless
from tests.project.changing_project import HOUR, NOON, ChangingProject, definitions

pytestmark = [
    pytest.mark.filterwarnings("ignore::RuntimeWarning:feast", "ignore::DeprecationWarning"),
    pytest.mark.timeout(1800),
]


def test_an_old_definition_is_told_of_until_it_goes(
    tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch, skewless: Skewless
):
    for name, value in (("STATE", "state"), ("FEATURE_REPO", "feature_repo")):
        monkeypatch.setenv(f"SKEWLESS_{name}", str(tmp_path / value))
    monkeypatch.setenv("SKEWLESS_REDIS_URL", redis_url)
    project = ChangingProject(tmp_path)
    project.write(NOON - 5 * HOUR, "part-0", [10.0, 20.0, 30.0])
    project.define(definitions())
    assert skewless("apply").status == 0
    project.publish("1.0.0")
    project.define(definitions(ttl=5))
    applied = skewless("apply")
    assert applied.status == 0
    told = " ".join(applied.out.split())
    assert "feature view 'spend' changes (ttl was 2 days, 0:00:00 and is 5:00:00)" in told
    assert "churn 1.0.0 (champion) was trained on the old definition" in told
    materialized = skewless("materialize", "--view", "spend", "--end", NOON.isoformat())
    assert "6 rows written in 2 views" in materialized.out
    status = skewless("status")
    assert "an old definition of spend, kept for churn 1.0.0 (champion)" in status.out
    described = {view["view"]: view.get("superseded") for view in json.loads(skewless("status", "--json").out)}
    (current,) = set(described) - {"spend"}
    kept = {"view": "spend", "stored_as": "spend", "kept_for": ["churn 1.0.0 (champion)"], "unreadable": None}
    assert described == {current: None, "spend": kept}
    for view in ("spend", current):
        assert f"materialize {current}" in skewless("runs", "--view", view).out
    assert skewless("verify", "--view", "spend").status == 0
    project.define(definitions())
    refused = skewless("apply")
    assert refused.status == 2
    assert "feature view spend would go back" in " ".join(refused.err.split())
    project.define(definitions(ttl=6))
    forced = skewless("apply", "--now")
    assert "these models do not answer until they are trained and published anew: churn 1.0.0 (champion)" in " ".join(
        forced.out.split()
    )
    assert "old definition" not in skewless("status").out


@pytest.mark.parametrize("verb", ["apply", "build"])
def test_where_there_is_no_project_it_is_said_how_to_make_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, skewless: Skewless, verb: str
):
    monkeypatch.chdir(tmp_path)
    for name in ("STATE", "FEATURE_REPO"):
        monkeypatch.delenv(f"SKEWLESS_{name}", raising=False)
    told = skewless(verb)
    assert told.status == 2
    assert "feature_repo has no feature_store.yaml" in told.err
    assert "make a project with `skewless init NAME`" in told.err
