"""`models.yaml`: what it may say, and what is said where it does not say it."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from skewless.project.model_specs import (
    BadModelSpecs,
    ModelNotDeclared,
    ModelNotNamed,
    ModelSpec,
    ProjectSpecs,
    TrainingWindows,
    WindowsNotDeclared,
    read,
)

CHURN = "churn: {service: churn_v1, spine: months, label: churned}"
WHOLE = """
models:
  churn:
    service: churn_v1
    spine: months
    label: churned
    windows: {train: 2024-02-01, validate: "2024-09-01", test: 2024-10-01, end: 2025-01-01}
    parameters: {learning_rate: 0.05, num_leaves: 31, objective: binary, extra_trees: true}
"""
WINDOWS = TrainingWindows(date(2024, 2, 1), date(2024, 9, 1), date(2024, 10, 1), date(2025, 1, 1))


def specs(folder: Path, text: str) -> ProjectSpecs:
    (folder / "models.yaml").write_text(text)
    return read(folder)


def test_all_that_a_project_may_declare(tmp_path: Path):
    parameters = {"learning_rate": 0.05, "num_leaves": 31, "objective": "binary", "extra_trees": True}
    found = specs(tmp_path, WHOLE)
    assert found == ProjectSpecs(
        tmp_path / "models.yaml",
        {"churn": ModelSpec("churn_v1", "months", "churned", WINDOWS, parameters)},
    )
    assert [type(value) for value in found.models["churn"].parameters.values()] == [float, int, str, bool]


def test_windows_begin_at_midnight_utc_and_have_lengths():
    days = [(2024, 2, 1), (2024, 9, 1), (2024, 10, 1), (2025, 1, 1)]
    assert WINDOWS.starts() == tuple(datetime(*day, tzinfo=UTC) for day in days)
    assert WINDOWS.lengths == "213d,30d,92d"


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "models: {}"])
def test_a_project_need_declare_nothing(tmp_path: Path, text: str):
    assert specs(tmp_path, text) == ProjectSpecs(tmp_path / "models.yaml") == read(tmp_path)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("models: [", "it is not YAML: "),
        ("- churn", "Expected `object`, got `array`"),
        ("model: {}", "model: there is no such key; did you mean 'models'? the keys here are models"),
        (f"models: {{{CHURN[:-1]}, lable: x}}}}", "models.churn.lable: there is no such key; did you mean 'label'? the"),
        ("models: {churn: {service: a, spine: b}}", "models.churn: Object missing required field `label`"),
        ("models: {churn: }", "models.churn: Expected `object`, got `null`"),
        ("models: {churn: {service: 1, spine: b, label: c}}", "models.churn.service: Expected `str`, got `int`"),
        (f"models: {{{CHURN[:-1]}, parameters: {{leaves: [1]}}}}}}", "models.churn.parameters[...]: Expected"),
        (WHOLE.replace("test: 2024-10-01", "test: 2024-09-01"), "models.churn.windows.test: 2024-09-01 is not after"),
        (WHOLE.replace("2024-10-01", "2024-10-01T12:00:00Z"), "models.churn.windows.test: Expected `date`, got `datetime`"),
        (WHOLE.replace("test: 2024", "tets: 2024"), "models.churn.windows: Object contains unknown field `tets`"),
    ],
)  # fmt: skip
def test_what_cannot_be_understood_is_refused_with_file_and_key(tmp_path: Path, text: str, reason: str):
    with pytest.raises(BadModelSpecs) as refused:
        specs(tmp_path, text)
    assert str(refused.value).startswith(f"{tmp_path}/models.yaml is refused: {reason}")


def test_the_only_model_is_the_default(tmp_path: Path):
    found = specs(tmp_path, WHOLE)
    for model in (found.model(None), found.model("churn")):
        assert model.name() == "churn"
        assert model.spec("--service") == found.models["churn"]
        assert model.windows("--start") == WINDOWS
        assert model.parameters == found.models["churn"].parameters


def test_one_more_model_on_the_same_rows_has_the_defaults_of_the_only_one(tmp_path: Path):
    other = specs(tmp_path, WHOLE).model("other")
    assert (other.name(), other.spec("--service").service) == ("other", "churn_v1")
    assert other.parameters


def test_of_several_models_one_must_be_named(tmp_path: Path):
    found = specs(tmp_path, f"models:\n  {CHURN}\n  fraud: {{service: f, spine: orders, label: bad}}")
    assert found.model("fraud").spec("--service").spine == "orders"
    with pytest.raises(ModelNotNamed) as unnamed:
        found.model(None).name()
    path = tmp_path / "models.yaml"
    assert str(unnamed.value) == f"no model was named, and {path} declares several: churn, fraud; give --model"
    with pytest.raises(ModelNotDeclared) as unsure:
        found.model(None).spec("--service")
    assert str(unsure.value) == f"{path} declares the models churn, fraud; name one of them, or give --service"
    with pytest.raises(ModelNotDeclared) as unknown:
        found.model("farud").spec("--service")
    assert str(unknown.value).startswith(
        f"{path} declares no model 'farud', only churn, fraud; write `models: {{NAME: "
    )
    assert found.model("farud").name() == "farud", "who gives all options needs no declaration"
    assert found.model("farud").parameters == {}


def test_where_nothing_is_declared_the_mend_is_to_write_it_or_to_give_the_option(tmp_path: Path):
    nothing = read(tmp_path)
    path = tmp_path / "models.yaml"
    with pytest.raises(ModelNotNamed) as unnamed:
        nothing.model(None).name()
    assert str(unnamed.value) == f"no model was named, and {path} declares none; give --model"
    with pytest.raises(ModelNotDeclared) as undeclared:
        nothing.model(None).spec("--spine")
    example = "models: {NAME: {service: SERVICE, spine: TABLE, label: COLUMN}}"
    assert str(undeclared.value) == f"{path} declares no model; write `{example}` there, or give --spine"
    with pytest.raises(WindowsNotDeclared) as windows:
        specs(tmp_path, f"models: {{{CHURN}}}").model(None).windows("--start")
    assert str(windows.value).startswith(
        f"model 'churn' of {path} has no windows; write `windows: {{train: 2024-02-01, "
    )
    assert str(windows.value).endswith("there, or give --start")


def test_the_example_in_the_docstring_is_read(tmp_path: Path):
    from skewless.project import model_specs

    text = "\n".join(model_specs.__doc__.splitlines()[2:-2])
    assert specs(tmp_path, text).model("churn").windows("").lengths == "213d,30d,92d"
