"""The DAGs that prove, mend and erase, through `dag.test()`, over rows that were really served: each is green where all
is well, and red, at the first try, where it is not.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from skewless.online.store.embedded_valkey import RunningValkey
from tests.airflow import dag_folder, dag_test_process, served_projects

pytestmark = [
    pytest.mark.filterwarnings("ignore::RuntimeWarning:feast", "ignore::DeprecationWarning"),
    pytest.mark.timeout(900),  # of all runs, in the first test's setup
]


def window(start: str, end: str) -> dict[str, str]:
    return {"start": f"2013-10-{start}:00Z", "end": f"2013-10-{end}:00Z"}


NIGHT = window("01T00:00", "02T00:00")
JFK = {"entity": ["origin=JFK"]}
RUNS = {
    "audit before": ["tests_audit", window("01T12:00", "01T14:00"), {}],
    "audit": ["tests_audit", window("01T14:00", "01T16:00"), {}],
    "verify": ["tests_verify", {}, {}],
    "repair": ["tests_verify", {"repair": True}, {}],
    "verify after": ["tests_verify", {}, {}],
    "quality": ["tests_quality", window("01T00:00", "01T18:00"), {}],
    "quality late": ["tests_quality", window("02T00:00", "03T00:00"), {}],
    "materialize": ["tests_materialize", window("02T00:00", "04T00:00"), {}],
    "expire": ["tests_expire", {}, {}],
    "verify expired": ["tests_verify", {}, {}],
    "erase nothing": ["tests_erase", JFK, {}],
    "erase": ["tests_erase", JFK | {"dry_run": False}, {}],
}


@pytest.fixture(scope="module")
def told(
    airflow_home: Path, tmp_path_factory: pytest.TempPathFactory, redis_server: RunningValkey
) -> dict[str, dict[str, Any]]:
    """What became of each run, in this order, of one project after the other."""
    folder = tmp_path_factory.mktemp("proofs")
    state, drifting = folder / "state", folder / "drifting"
    with Redis.from_url(redis_server.url) as redis:
        redis.flushall()
    repo = served_projects.answered(state, redis_server.url)
    lost = shutil.copytree(state, folder / "lost", ignore=shutil.ignore_patterns("data"))
    served_projects.drifting(drifting)
    with Redis.from_url(redis_server.url) as redis:
        keys = [key for key in redis.scan_iter() if redis.type(key) == b"hash" and redis.hexists(key, "planes")]
        assert len(keys) == 1
        redis.hdel(keys[0], "planes")
    runs = RUNS | {
        "drift": ["tests_drift", window("01T12:05", "01T13:00"), {"adopt": {"state": str(drifting)}}],
        "no drift": ["tests_drift", window("01T12:00", "01T12:05"), {}],
        "quality fresh": ["tests_quality", NIGHT, {"adopt": {"state": str(folder / "fresh")}}],
        **{f"{name} fresh": [f"tests_{name}", NIGHT, {}] for name in ("score", "audit", "drift")},
        **{f"{name} fresh": [f"tests_{name}", {}, {}] for name in ("verify", "compact", "trim", "expire")},
        "quality lost": ["tests_quality", NIGHT, {"adopt": {"state": str(lost)}}],
    }
    ours = {
        "SKEWLESS_STATE": str(state),
        "SKEWLESS_FEATURE_REPO": str(repo),
        "SKEWLESS_REDIS_URL": redis_server.url,
        "AIRFLOW__OPENLINEAGE__DISABLED": "True",
    }
    asked = {"runs": list(runs.values()), "connections": {}}
    done = dag_test_process.run(airflow_home, folder / "airflow", dag_folder.beside(repo), ours, asked)
    found = dict(zip(runs, done["runs"], strict=True))
    return found | {"log": done["log"], "state": state, "drifting": drifting}


def test_the_audit_replays_what_was_served(told: dict[str, Any]):
    assert told["audit before"]["tasks"]["audit[tiny 1.0.0]"] == ["success", 1]
    assert told["audit"]["tasks"]["audit[tiny 1.0.0]"] == ["failed", 1]
    assert "gate audit: tiny 1.0.0: 0 of 15 feature values differ, 0 of 6 statuses differ, 1 of 3 scores" in told["log"]
    report = json.loads((told["state"] / "reports" / "audit-tiny-1.0.0.json").read_text())
    assert (report["rows"], report["differing_scores"]) == (3, 1)
    kept = told["state"] / "reports" / "20131001T140000--20131001T160000" / "audit-tiny-1.0.0.html"
    assert kept.is_file()
    assert f"report: {kept}" in told["log"]


def test_verify_is_red_where_a_row_is_missing_until_it_is_mended(told: dict[str, Any]):
    assert told["verify"]["tasks"] == {
        "views": ["success", 1],
        "verify[delays]": ["success", 1],
        "verify[planes]": ["failed", 1],
    }
    assert "gate verify: planes as of 2013-10-01T14:59:50+00:00: 1 compared, 1 missing" in told["log"]
    assert told["repair"]["state"] == told["verify after"]["state"] == "success"
    assert told["repair"]["returned"]["verify[planes]"]["repaired"] == 1
    assert told["verify after"]["returned"]["verify[planes]"]["repaired"] == 0


def test_quality_judges_tables_as_of_the_windows_end(told: dict[str, Any]):
    assert told["quality"]["returned"]["quality"] == {"delays": 0}
    assert told["quality late"]["tasks"]["quality"] == ["failed", 1]
    assert "feature view 'delays': freshness" in told["log"]


def test_how_fresh_the_views_are_is_there_for_prometheus(told: dict[str, Any]):
    assert told["materialize"]["state"] == "success"
    metrics = (told["state"] / "reports" / "freshness.prom").read_text()
    assert 'skewless_view_watermark_seconds{project="tests",view="delays"} 1.3808448e+09' in metrics
    assert 'skewless_view_last_run_failed{project="tests",view="planes"} 0.0' in metrics


def test_what_is_long_out_of_its_ttl_goes_and_nothing_else_does(told: dict[str, Any]):
    assert told["expire"]["returned"]["expire"] == {"delays": 2}
    assert told["verify expired"]["state"] == "success"


def test_a_subject_is_erased_only_where_that_is_meant(told: dict[str, Any]):
    planned, (receipt, path) = told["erase nothing"]["returned"]["erase"], told["erase"]["returned"]["erase"]
    assert any(line.startswith("served log: 3 rows of ") for line in planned), planned
    assert receipt.startswith("6 rows of 2 files, ")
    assert json.loads(Path(path).read_text())["status"] == "done"


def test_drift_is_red_and_asks_for_retraining(told: dict[str, Any]):
    assert told["drift"]["tasks"] == {
        "served_versions": ["success", 1],
        "drift[tiny 1.0.0]": ["success", 1],
        "alarm": ["failed", 1],
        "drifted_tiny": ["success", 1],
    }
    assert "300 served rows" in told["drift"]["returned"]["drift[tiny 1.0.0]"]["summary"]
    assert (told["drifting"] / "reports" / "drift-tiny-1.0.0.html").is_file()


def test_no_drift_asks_for_nothing(told: dict[str, Any]):
    assert told["no drift"]["state"] == "success"
    assert told["no drift"]["tasks"]["alarm"] == ["success", 1]
    assert told["no drift"]["tasks"]["drifted_tiny"][0] == "skipped"


def test_on_a_fresh_folder_nothing_is_red(told: dict[str, Any]):
    fresh = [run for name, run in told.items() if name.endswith(" fresh")]
    assert len(fresh) == 8
    assert {run["state"] for run in fresh} == {"success"}
    skipped = [told[f"{name} fresh"]["tasks"] for name in ("quality", "score")]
    assert skipped == [{"quality": ["skipped", 1]}, {"score_tiny": ["skipped", 1]}]
    assert "nothing was materialized yet, and feature view 'delays' reads " in told["log"]
    assert "a published version of tiny does not exist yet; run `skewless publish` first" in told["log"]


def test_tables_that_were_there_and_are_not_any_more_are_red(told: dict[str, Any]):
    assert told["quality lost"]["tasks"]["quality"] == ["failed", 1]
