"""Feast's own SDK beside a model that was trained on an older definition: it reads the new one, and feeds both."""

from __future__ import annotations

import subprocess
from datetime import timedelta
from pathlib import Path

import pandas as pd
import pytest
from feast import FeatureStore

from skewless.project import apply
from skewless.project.retained_definitions import status
from tests.project.changing_project import HOUR, NOON, ChangingProject, definitions
from tests.tables.scratch_project import FEAST

pytestmark = [
    pytest.mark.filterwarnings("ignore::RuntimeWarning:feast", "ignore::DeprecationWarning"),
    pytest.mark.timeout(1800),
]
RENAMED = definitions(fields={"total": "Float64", "visits": "Int64"}, ttl=400_000, mapping={"amount": "total"})


@pytest.fixture
def project(tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> ChangingProject:
    """Whose champion was trained before a feature was renamed; nothing is materialized."""
    monkeypatch.setenv("SKEWLESS_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("SKEWLESS_FEATURE_REPO", str(tmp_path / "feature_repo"))
    monkeypatch.setenv("SKEWLESS_REDIS_URL", redis_url)
    shop = ChangingProject(tmp_path)
    shop.write(NOON - 5 * HOUR, "part-0", [10.0, 20.0, 30.0])
    shop.apply(definitions(ttl=400_000))
    shop.publish("1.0.0")
    shop.apply(RENAMED)
    return shop


def total(store: FeatureStore, customer: int) -> list[float | None]:
    read: list[float | None] = store.get_online_features(["spend:total"], [{"customer": customer}]).to_dict()["total"]
    return read


def test_both_definitions_are_materialized_and_written_and_the_new_one_is_read(project: ChangingProject):
    store = FeatureStore(repo_path=str(project.repo))
    assert total(store, 1) == [None], "nothing was materialized"
    store.materialize(NOON - 10 * HOUR, NOON)
    assert total(store, 1) == [10.0]
    assert project.served("1.0.0", NOON) == project.expected("1.0.0", NOON)
    times = {name: [NOON - timedelta(hours=1)] for name in ("event_timestamp", "created_timestamp")}
    store.write_to_online_store("spend", pd.DataFrame({"customer": [1], "total": [11.0], "visits": [3], **times}))
    assert total(store, 1) == [11.0]
    project.write(NOON - HOUR, "part-1", [11.0], visits=[3])
    assert project.served("1.0.0", NOON) == project.expected("1.0.0", NOON), "as if the table had had the row"


def test_a_view_that_feast_removes_stays_for_its_readers(project: ChangingProject):
    store = FeatureStore(repo_path=str(project.repo))
    project.materialize(NOON)
    service, view = store.get_feature_service("buyers"), store.get_feature_view("spend")
    store.apply([store.get_entity("customer")], objects_to_delete=[service, view], partial=False)
    assert project.served("1.0.0", NOON) == project.expected("1.0.0", NOON)
    assert [one.kept_for for one in status(project.work)] == [["churn 1.0.0 (champion)"]]
    assert project.stored_names() == {"spend"}, "the definition that nobody reads is gone"
    store.teardown()
    assert project.stored_names() == {"spend"}, "the registry does not know it any more"


def test_a_view_that_was_never_recorded_is_when_feast_removes_it(project: ChangingProject):
    project.apply(definitions(ttl=400_000), force=True)
    with project.work.state.connected(write=True) as connection:
        connection.exec_driver_sql("DELETE FROM view_definitions")
    project.materialize(NOON)
    store = FeatureStore(repo_path=str(project.repo))
    removed = [store.get_feature_service("buyers"), store.get_feature_view("spend")]
    store.apply([store.get_entity("customer")], objects_to_delete=removed, partial=False)
    assert [view.stored_as for view, _ in project.work.definitions()] == ["spend"]
    project.write(NOON + HOUR, "part-1", [12.0], visits=[4])
    project.materialize(NOON + HOUR)
    assert project.served("1.0.0", NOON + HOUR) == project.expected("1.0.0", NOON + HOUR)


def feast_apply(project: ChangingProject, text: str) -> subprocess.CompletedProcess[str]:
    project.define(text)
    return subprocess.run([FEAST, "apply"], cwd=project.repo, capture_output=True, text=True, check=False)


def test_feast_refuses_an_older_checkout_as_the_verb_does(project: ChangingProject):
    older = feast_apply(project, definitions(ttl=400_000))
    assert older.returncode
    assert "ann@laptop applied newer ones" in older.stdout + older.stderr
    assert next(field.name for view, _ in project.work.definitions() for field in view.fields) == "total"
    newer = definitions(
        fields={"total": "Float64", "visits": "Int64", "discount": "Float64"}, ttl=400_000, mapping={"amount": "total"}
    )
    done = feast_apply(project, newer)
    assert not done.returncode, done.stdout + done.stderr
    last = project.work.recorded.log.history()[-1]
    assert last.applied_by.endswith("(by Feast)")
    with pytest.raises(
        apply.ApplyRefused, match=r"\(by Feast\) applied newer ones .*: feature view spend would go back"
    ):
        project.apply(RENAMED)
    store = FeatureStore(repo_path=str(project.repo))
    view = store.get_feature_view("spend")
    store.apply([store.get_entity("customer"), view])
    assert len(project.work.recorded.log.history()) == 3, "applying the same again records nothing"
    assert not project.apply(RENAMED, force=True).going_down
