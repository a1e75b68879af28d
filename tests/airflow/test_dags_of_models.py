"""The DAGs that make and use models, and trim what they were asked, through `dag.test()`, with and without a person."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from skewless.registry.model_registry import ModelRegistry
from tests.airflow import dag_folder, dag_test_process, retraining_project
from tests.airflow.approver import NAME, NOBODY
from tests.models import learnable_project

pytestmark = [
    pytest.mark.filterwarnings("ignore::RuntimeWarning:feast", "ignore::DeprecationWarning"),
    pytest.mark.timeout(900),  # of all runs, in the first test's setup
]
SCORED = {"start": "2013-03-05", "end": "2013-03-06"}
RUNS = {
    "score": ["tests_score", SCORED, {}],
    "not better": ["tests_retrain_on_drift_late", retraining_project.ENDED | {"margin": 5.0}, {}],
    "rejected": ["tests_retrain_on_drift_late", retraining_project.ENDED, {"answer": "Reject"}],
    "unanswered": ["tests_retrain_on_drift_late", retraining_project.ENDED, {"answer": NOBODY}],
    "approved": ["tests_retrain_on_drift_late", retraining_project.ENDED, {"answer": "Approve"}],
    "alone": ["tests_retrain_on_drift_late", retraining_project.ENDED | {"approval": False, "canary": 0.25}, {}],
    "strict": ["tests_retrain_strict", retraining_project.ENDED, {}],
    "weekly": ["tests_retrain_late", {}, {}],
    "trim": ["tests_trim", {}, {}],
    "trim old": ["tests_trim", {"keep": "90d"}, {}],
}


@pytest.fixture(scope="module")
def told(airflow_home: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What became of each run, in this order, of one project."""
    folder = tmp_path_factory.mktemp("models")
    state, repo = folder / "state", folder / "feature_repo"
    retraining_project.project(state, repo)
    day = state / "served" / "model=another" / "version=1.0.0" / "day=2013-03-05"
    day.mkdir(parents=True)
    for number in range(2):
        pq.write_table(learnable_project.spine().slice(number, 1), day / f"part-{number}.parquet")
    ours = {
        "SKEWLESS_STATE": str(state),
        "SKEWLESS_FEATURE_REPO": str(repo),
        "AIRFLOW_VAR_TESTS_RETRAIN_ON_DRIFT_LATE": json.dumps(retraining_project.CHOICES),
        "AIRFLOW_VAR_TESTS_RETRAIN_LATE": json.dumps({"modle": retraining_project.MODEL}),
        "AIRFLOW__OPENLINEAGE__DISABLED": "True",
    }
    done = dag_test_process.run(
        airflow_home,
        folder / "airflow",
        dag_folder.beside(repo),
        ours,
        {"runs": list(RUNS.values()), "connections": {}},
    )
    return dict(zip(RUNS, done["runs"], strict=True)) | {"log": done["log"], "state": state, "day": day}


def states(run: dict[str, Any]) -> dict[str, str]:
    return {name: state for name, (state, _) in run["tasks"].items()}


@pytest.mark.parametrize("model", [retraining_project.MODEL, retraining_project.STRICT])
def test_the_rows_of_a_window_are_scored_by_the_champion_of_each_model(told: dict[str, Any], model: str):
    done = told["score"]["returned"][f"score_{model}"]
    assert (done["version"], done["written"]) == ("1.0.0", True)
    assert Path(done["folder"]) == told["state"] / "scores" / model / "20130305T000000--20130306T000000"
    rows = learnable_project.spine().column("event_timestamp").to_pylist()
    assert done["rows"] == sum(row.date() == date(2013, 3, 5) for row in rows) > 0
    assert pq.read_metadata(Path(done["folder"]) / "scores-00000.parquet").num_rows == done["rows"]


def test_another_model_is_retrained_by_its_own_declaration(told: dict[str, Any]):
    run = told["strict"]
    assert states(run) == {"retrain": "success", "decide": "success", "approve": "skipped", "canary": "skipped"}
    verdict = run["returned"]["retrain"]
    assert (verdict["model"], verdict["approval"], verdict["better"]) == (retraining_project.STRICT, False, False)
    assert "strict 1.1.0 stays a candidate" in verdict["summary"]


def test_a_candidate_that_is_not_better_is_asked_of_nobody(told: dict[str, Any]):
    run = told["not better"]
    assert states(run) == {"retrain": "success", "decide": "success", "approve": "skipped", "canary": "skipped"}
    assert "1.1.0 stays a candidate (champion 1.0.0)" in run["returned"]["retrain"]["summary"]
    assert run["state"] == "success"


def test_a_rejection_changes_nothing(told: dict[str, Any]):
    run = told["rejected"]
    assert states(run) == {"retrain": "success", "decide": "success", "approve": "success", "canary": "skipped"}
    assert run["returned"]["decide"] == "approve"
    assert run["returned"]["retrain"]["candidate"] == "1.1.0", "the same model is not published twice"


def test_where_nobody_answers_in_time_the_run_fails_at_once_and_changes_nothing(told: dict[str, Any]):
    run = told["unanswered"]
    assert (run["state"], run["tasks"]["approve"]) == ("failed", ["failed", 1])
    assert run["tasks"]["canary"][0] == "upstream_failed"
    assert "nobody answered within 3 days" in told["log"]


def test_an_approved_candidate_is_a_canary_in_the_name_of_who_approved(told: dict[str, Any]):
    assert set(states(told["approved"]).values()) == {"success"}
    models = told["state"] / "models"
    published, approved, alone = ModelRegistry(models, models).history(retraining_project.MODEL)
    assert (published.champion, published.canary) == ("1.0.0", None)
    assert approved.canary
    assert (approved.champion, approved.canary.version, approved.canary.weight) == ("1.0.0", "1.1.0", 0.05)
    assert approved.change.by == f"{NAME}, asked by tests_retrain_on_drift_late"
    assert alone.change.by == "tests_retrain_on_drift_late"


def test_where_no_approval_is_asked_for_nothing_waits(told: dict[str, Any]):
    run = told["alone"]
    assert states(run) == {"retrain": "success", "decide": "success", "approve": "skipped", "canary": "success"}
    assert run["returned"]["canary"] == "revision 3, canary 1.1.0 with weight 0.25"


def test_a_variable_that_is_not_understood_fails_at_once_and_says_what_it_may_hold(told: dict[str, Any]):
    assert told["weekly"]["tasks"]["retrain"] == ["failed", 1]
    assert "the Airflow Variable 'tests_retrain_late'" in told["log"]
    assert "'modle' is none of approval, as_served, canary, margin, window" in told["log"]


def test_old_days_of_the_served_log_are_folded_and_go_only_where_that_was_asked(told: dict[str, Any]):
    assert told["trim"]["returned"]["trim"] == "2 files compacted; 0 days with 0 files removed"
    assert told["trim old"]["returned"]["trim"] == "0 files compacted; 1 days with 1 files removed"
    assert not told["day"].exists()
