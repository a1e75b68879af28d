"""`models.py`: which models it declares, and what is said where it does not say what a command needs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from skewless.project import LightGbm, PromotionRule
from skewless.project.declared_models import (
    BadModels,
    ModelNotDeclared,
    ModelNotNamed,
    NoModelOfService,
    ProjectModels,
    WindowsNotDeclared,
    read,
)
from skewless.project.model import LabelColumn
from tests.models.declarations import HEAD, declaration

NOW = datetime(2024, 6, 1, 12, tzinfo=UTC)
RELATIVE = "Windows(train=timedelta(days=180), validate=timedelta(days=30), test=timedelta(days=30))"
FIXED = (
    "Windows.between(train=date(2024, 1, 1), validate=date(2024, 2, 1), test=date(2024, 3, 1), end=date(2024, 4, 1))"
)
CHURN = declaration(
    "churn",
    service="churn_v1",
    label="churned",
    known="label_known_after=timedelta(days=30)",
    windows=RELATIVE,
    learner=LightGbm(learning_rate=0.05),
    promotion=PromotionRule(margin=0.001),
)
FRAUD = declaration("fraud", service="fraud_v1", label="bad", windows=FIXED)


def models(folder: Path, *declarations: str) -> ProjectModels:
    (folder / "models.py").write_text(HEAD + "".join(declarations))
    return read(folder)


def test_models_are_found_by_their_type_and_named_by_their_name(tmp_path: Path):
    found = models(tmp_path, CHURN, FRAUD.replace("fraud = ", "other_variable = ", 1), "\nhelper = churn\n")
    assert list(found.models) == ["churn", "fraud"]
    assert found.models["churn"].learner == LightGbm(learning_rate=0.05)


def test_a_project_need_declare_nothing(tmp_path: Path):
    assert read(tmp_path) == ProjectModels(tmp_path / "models.py")
    assert models(tmp_path) == ProjectModels(tmp_path / "models.py")


def test_a_declaration_may_import_what_lies_beside_it(tmp_path: Path):
    (tmp_path / "months.py").write_text("SPINE = 'customer_months'\n")
    found = models(tmp_path, "\nfrom months import SPINE\n", CHURN.replace("spine='spine'", "spine=SPINE"))
    assert found.models["churn"].spine == "customer_months"


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (CHURN.replace("service='churn_v1'", "service=''"), "model 'churn': service is ''"),
        (CHURN.replace("days=180", "days=0"), "windows: train is 0:00:00"),
        ("\nimport nowhere_to_be_found\n", "No module named 'nowhere_to_be_found'"),
        ("\nchurn = Model(\n", "was never closed"),
    ],
)
def test_what_cannot_be_used_is_refused_with_file_and_line(tmp_path: Path, source: str, reason: str):
    with pytest.raises(BadModels) as refused:
        models(tmp_path, source)
    assert str(refused.value).startswith(f"{tmp_path}/models.py is refused: ")
    assert f"{tmp_path}/models.py, line " in str(refused.value)
    assert reason in str(refused.value)


def test_two_models_of_one_name_are_refused(tmp_path: Path):
    with pytest.raises(BadModels, match="two models of the name 'churn'"):
        models(tmp_path, CHURN, CHURN.replace("churn = Model", "again = Model"))


def test_the_only_model_is_the_default(tmp_path: Path):
    found = models(tmp_path, CHURN)
    for choice in (found.choose(None), found.choose("churn"), found.choose(None, "churn_v1")):
        assert choice.name() == "churn"
        assert choice.spec("--service") is found.models["churn"]
        assert (choice.learner, choice.promotion) == (LightGbm(learning_rate=0.05), PromotionRule(margin=0.001))
        assert choice.label(None) == choice.label("churned") == LabelColumn("churned", timedelta(days=30))
        assert choice.label("other") == LabelColumn("other"), "nothing is declared of another column"


def test_windows_leave_time_until_labels_are_known(tmp_path: Path):
    split = models(tmp_path, CHURN).choose(None).split("--start", NOW)
    assert [(end - start).days for start, end in split.windows.values()] == [210, 60, 60]
    assert split.end == datetime(2024, 6, 1, tzinfo=UTC)
    earlier = models(tmp_path, CHURN).choose(None).split("--start", NOW, datetime(2024, 3, 1, tzinfo=UTC))
    assert (earlier.end, split.end - split.start) == (datetime(2024, 3, 1, tzinfo=UTC), earlier.end - earlier.start)
    fixed = models(tmp_path, FRAUD).choose(None).split("--start", NOW, datetime(2024, 3, 15, tzinfo=UTC))
    assert (fixed.start, fixed.end) == (datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 4, 1, tzinfo=UTC))


def test_no_model_takes_the_defaults_of_another(tmp_path: Path):
    other = models(tmp_path, CHURN).choose("chrun")
    assert other.name() == "chrun", "who gives all options needs no declaration"
    with pytest.raises(ModelNotDeclared) as undeclared:
        other.spec("--service")
    assert str(undeclared.value).startswith(
        f"{tmp_path}/models.py declares no model 'chrun', only churn; did you mean 'churn'? write `Model(name="
    )
    assert (other.learner, other.label("late"), other.fixed_end) == (LightGbm(), LabelColumn("late"), None)


def test_a_service_names_its_model(tmp_path: Path):
    found = models(tmp_path, CHURN, FRAUD)
    assert found.choose(None, "fraud_v1").name() == "fraud"
    with pytest.raises(NoModelOfService) as none:
        found.choose(None, "risk_v1").name()
    assert str(none.value) == (
        f"no model of {tmp_path}/models.py is trained on feature service 'risk_v1'; it declares churn (churn_v1), fraud "
        "(fraud_v1); name the model with --model, or declare `Model(name=..., service='risk_v1', ...)` there"
    )
    several = models(tmp_path, CHURN, FRAUD.replace("fraud_v1", "churn_v1"))
    with pytest.raises(NoModelOfService, match=r"'churn_v1' is of several models of .*: churn, fraud; give --model$"):
        several.choose(None, "churn_v1").name()
    assert several.choose("fraud").training_set("churn_v1") == "churn_v1.fraud", "each has a training set of its own"
    assert found.choose("fraud").training_set("fraud_v1") == "fraud_v1"


def test_of_several_models_one_must_be_named(tmp_path: Path):
    found = models(tmp_path, CHURN, FRAUD)
    assert found.choose("fraud").spec("--service").label == "bad"
    with pytest.raises(ModelNotNamed) as unnamed:
        found.choose(None).name()
    path = tmp_path / "models.py"
    assert str(unnamed.value) == f"no model was named, and {path} declares several: churn, fraud; give --model"
    with pytest.raises(ModelNotDeclared) as unsure:
        found.choose(None).spec("--service")
    assert (
        str(unsure.value)
        == f"{path} declares the models churn, fraud; name one of them with --model, or give --service"
    )


def test_where_nothing_is_declared_the_mend_is_to_write_it_or_to_give_the_option(tmp_path: Path):
    nothing, path = read(tmp_path), tmp_path / "models.py"
    (tmp_path / "feature_store.yaml").touch()
    with pytest.raises(ModelNotNamed) as unnamed:
        nothing.choose(None).name()
    assert str(unnamed.value) == f"no model was named, and {path} declares none; give --model"
    with pytest.raises(ModelNotDeclared) as undeclared:
        nothing.choose(None).spec("--spine")
    assert str(undeclared.value).startswith(f"{path} declares no model; write `Model(name='churn', service=")
    assert str(undeclared.value).endswith("there, or give --spine")
    with pytest.raises(WindowsNotDeclared) as windows:
        models(tmp_path, CHURN.replace(RELATIVE, "None")).choose(None).windows("--start")
    assert str(windows.value).startswith(f"model 'churn' of {path} has no windows; write `windows=Windows(train=")
    assert str(windows.value).endswith("there, or give --start")


def test_the_example_in_the_docstring_is_read(tmp_path: Path):
    from skewless.project import model

    lines = [line.removeprefix("    ") for line in model.__doc__.splitlines() if line.startswith("    ")]
    assert models(tmp_path, "\n".join(lines)).models["churn"].promotion.margin == 0.001
