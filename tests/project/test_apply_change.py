"""Changing definitions under a model that is served: both live side by side until nobody needs the old one."""

from __future__ import annotations

from pathlib import Path

import pytest

from skewless.definitions.compatibility import DefinitionsChanged
from skewless.monitoring.audit.evidence import project_evidence
from skewless.project import apply
from skewless.project.retained_definitions import status, sweep
from skewless.sdk import definitions as definitions_verb
from skewless.sdk.session import ProjectSession
from tests.project.changing_project import HOUR, NOON, ChangingProject, definitions

pytestmark = [
    pytest.mark.filterwarnings("ignore::RuntimeWarning:feast", "ignore::DeprecationWarning"),
    pytest.mark.timeout(1800),
]


@pytest.fixture
def project(tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> ChangingProject:
    """With a champion that was trained on the first definitions, and its rows online."""
    monkeypatch.setenv("SKEWLESS_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("SKEWLESS_FEATURE_REPO", str(tmp_path / "feature_repo"))
    monkeypatch.setenv("SKEWLESS_REDIS_URL", redis_url)
    shop = ChangingProject(tmp_path)
    shop.write(NOON - 5 * HOUR, "part-0", [10.0, 20.0, 30.0])
    shop.apply(definitions())
    shop.materialize(NOON)
    return shop


RENAMED = definitions(fields={"total": "Float64", "visits": "Int64"}, mapping={"amount": "total"})


def test_without_a_live_model_a_view_changes_in_place(project: ChangingProject):
    report = project.apply(RENAMED)
    assert not report.retained
    assert [view.stored_as for view, _ in project.work.definitions()] == ["spend"]
    assert not status(project.work)


def test_a_renamed_feature_stands_beside_the_old_one_until_its_readers_go(project: ChangingProject):
    project.publish("1.0.0")
    report = project.apply(RENAMED)
    (sentence,) = report.retained
    assert "feature view 'spend' changes (feature amount was Float64 and is absent)" in sentence
    assert "churn 1.0.0 (champion) was trained on the old definition" in sentence
    assert "until no rollout names its readers" in sentence
    new, old = (view for view, _ in project.work.definitions())
    assert old.stored_as == "spend"
    assert new.stored_as.startswith("spend@")
    assert [field.name for field in new.fields] == ["total", "visits"]
    assert project.materialize(NOON + HOUR).keys() == {"spend", new.stored_as}
    assert project.stored_names() == {"spend", new.stored_as}
    (kept,) = status(project.work)
    assert (kept.view, kept.stored_as, kept.kept_for, kept.unreadable) == (
        "spend",
        "spend",
        ["churn 1.0.0 (champion)"],
        None,
    )

    plan = project.trained["1.0.0"].plan
    project.work.confirm_scorable("churn 1.0.0", plan)
    with pytest.raises(
        DefinitionsChanged, match="feature amount was Float64 in training and is absent in the registry"
    ):
        project.work.confirm("churn 1.0.0", plan)
    evidence = project_evidence(project.work, plan)
    assert (evidence.sources["spend"].path, evidence.changed) == (
        project.trained["1.0.0"].sources["spend"].path,
        {"spend": []},
    )

    again = project.apply(RENAMED)
    assert again.retained == report.retained
    assert [view.stored_as for view, _ in project.work.definitions()] == [new.stored_as, "spend"]
    assert len(project.work.recorded.log.history()) == 2, "applying again records nothing"

    project.publish("2.0.0")
    assert project.trained["2.0.0"].plan.views[0].stored_as == new.stored_as
    assert sweep(project.work, NOON) == {}, "a rollback would need it"
    (kept,) = status(project.work)
    assert kept.kept_for == ["churn 1.0.0 (previous champion)"]
    project.publish("3.0.0")
    assert sweep(project.work, NOON) == {"spend": 3}
    assert project.stored_names() == {new.stored_as}
    assert not status(project.work)
    source = project.work.sources(project.trained["1.0.0"].plan)["spend"]
    assert source == project.trained["1.0.0"].sources["spend"], "an audit still finds its table"
    with pytest.raises(DefinitionsChanged):
        project.work.confirm_scorable("churn 1.0.0", plan)


def test_going_back_finds_the_rows(project: ChangingProject):
    project.publish("1.0.0")
    project.apply(RENAMED)
    with pytest.raises(apply.ApplyRefused, match=r"ann@laptop applied newer ones .*: feature view spend would go back"):
        project.apply(definitions())
    assert [view.stored_as for view, _ in project.work.definitions()][1] == "spend", "nothing was changed"
    assert not project.apply(definitions(), force=True).retained
    assert [view.stored_as for view, _ in project.work.definitions()] == ["spend"]


def test_what_is_forced_names_who_goes_down(project: ChangingProject):
    project.publish("1.0.0")
    report = project.apply(RENAMED, now=True)
    assert report.going_down == ["churn 1.0.0 (champion)"]
    assert "do not answer until they are trained and published anew: churn 1.0.0 (champion)" in report.lines()[0]
    assert [view.stored_as for view, _ in project.work.definitions()] == ["spend"]


def test_a_removed_view_stays_while_it_is_read(project: ChangingProject):
    project.publish("1.0.0")
    other = definitions("purchases")
    report = project.apply(other)
    assert "feature view 'spend' is removed" in report.retained[0]
    assert {view.stored_as for view, _ in project.work.definitions()} == {"spend", "purchases"}
    project.write(NOON + HOUR, "part-1", [11.0])
    assert project.materialize(NOON + 2 * HOUR)["spend"].written == 1
    report = project.apply(definitions("purchases", ttl=5), now=True)
    assert report.going_down == ["churn 1.0.0 (champion)"]
    assert report.dropped == ["spend"]
    assert project.stored_names() == {"purchases"}


def test_a_table_that_lost_a_column_stops_nothing_else(project: ChangingProject):
    project.publish("1.0.0")
    project.apply(definitions(fields={"visits": "Int64"}))
    project.write(NOON + HOUR, "part-1", [11.0, 12.0], amount=None)
    done = project.materialize(NOON + 2 * HOUR)
    assert sum(counts.written for counts in done.values()) == 3
    (kept,) = status(project.work)
    assert "column 'amount' of its source is absent" in str(kept.unreadable)
    assert "its rows stay until their ttl" in str(kept)
    printed = str(definitions_verb.status(ProjectSession(project.work.settings)))
    assert printed.count("column 'amount' of its source is absent") == 1, printed


def test_a_change_that_models_survive_is_made_in_place(project: ChangingProject):
    project.publish("1.0.0")
    wider = definitions(fields={"amount": "Float64", "visits": "Int64", "discount": "Float64"})
    assert not project.apply(wider).retained
    assert [view.stored_as for view, _ in project.work.definitions()] == ["spend"]
    assert project.work.recorded.names.latest["spend"].digest != project.work.recorded.records()[0].digest
