"""What commands are not given comes from the project's `models.py`; where that does not say it, the option is named."""

from __future__ import annotations

import pytest

from skewless.cli.model_defaults import parameters_of
from tests.cli.shop_project import Shop, Skewless
from tests.models.declarations import HEAD, declaration

CHURN = declaration("churn", service="churn_v1", spine="months", label="churned")
FRAUD = declaration("fraud", service="fraud_v1", spine="orders", label="bad")


def declare(market: Shop, *declarations: str) -> str:
    file = market.state / "feature_repo" / "models.py"
    file.write_text(HEAD + "".join(declarations))
    return str(file)


NEEDS = [
    (["training-set"], "--service"),
    (["training-set", "--service", "s", "--spine", "x.parquet"], "--start"),
    (["train"], "--start"),
    (["publish", "--model", "m"], "--service"),
    (["score", "--model", "m", "--version", "1.0.0"], "--spine"),
    (["score", "--model", "m", "--version", "1.0.0", "--spine", "x.parquet"], "--start"),
    (["retrain", "--model", "m", "--to", "2024-01-01"], "--spine"),
    (["retrain", "--model", "m", "--spine", "s.parquet", "--to", "2024-01-01"], "--label"),
    (["retrain", "--model", "m", "--spine", "s.parquet", "--to", "2024-01-01", "--label", "l"], "--window"),
    (["audit", "what-if"], "--from"),
]
UNNAMED = [["audit"], ["drift"], ["score"], ["publish"], ["outcomes", "x.csv"]]


@pytest.mark.parametrize("arguments", [["apply"], ["build"], *(arguments for arguments, _ in NEEDS), *UNNAMED])
def test_outside_of_a_project_that_is_said(market: Shop, skewless: Skewless, arguments: list[str]):
    """And not that a file of a folder which is not there declares nothing."""
    (market.state / "feature_repo" / "feature_store.yaml").unlink()
    result = skewless(*arguments)
    expected = (
        f"error: {market.state}/feature_repo has no feature_store.yaml; set SKEWLESS_FEATURE_REPO to the definitions' "
    )
    assert (result.status, result.out) == (2, "")
    assert result.err == expected + "folder, or make a project with `skewless init NAME`\n"


@pytest.mark.parametrize(("arguments", "option"), NEEDS)
def test_without_a_declaration_the_option_to_give_is_named(
    market: Shop, skewless: Skewless, arguments: list[str], option: str
):
    result = skewless(*arguments)
    assert (result.status, result.out) == (2, "")
    assert result.err.startswith(f"error: {market.state}/feature_repo/models.py declares no model")
    assert result.err.endswith(f"or give {option}\n")


@pytest.mark.parametrize("arguments", UNNAMED)
def test_where_no_model_is_declared_one_is_named(market: Shop, skewless: Skewless, arguments: list[str]):
    result = skewless(*arguments)
    expected = f"error: no model was named, and {market.state}/feature_repo/models.py declares none; give --model\n"
    assert (result.status, result.err) == (2, expected)


def test_of_several_models_one_is_named(market: Shop, skewless: Skewless):
    file = declare(market, CHURN, FRAUD)
    for command in ("audit", "drift", "publish"):
        expected = f"error: no model was named, and {file} declares several: churn, fraud; give --model\n"
        assert skewless(command).err == expected
    expected = f"error: {file} declares the models churn, fraud; name one of them with --model, or give --start\n"
    assert skewless("train").err == expected
    result = skewless("train", "--model", "fraud")
    assert result.err.startswith(f"error: model 'fraud' of {file} has no windows; write `windows=Windows(")


@pytest.mark.parametrize("command", ["publish", "train", "training-set"])
def test_a_service_that_no_model_is_trained_on_is_nobodys(market: Shop, skewless: Skewless, command: str):
    """A model is never published, trained or joined under the name or windows of another one."""
    file = declare(market, CHURN)
    result = skewless(command, "--service", "risk_v1")
    assert (result.status, result.out) == (2, "")
    assert result.err.startswith(
        f"error: no model of {file} is trained on feature service 'risk_v1'; it declares churn (churn_v1); name the model "
        "with --model"
    )
    assert not (market.state / "models").exists()


OPTIONS = ["--start", "2024-01-01", "--validate", "2024-02-01", "--test", "2024-03-01", "--end", "2024-04-01"]
FIXED = (
    "Windows.between(train=date(2024, 1, 1), validate=date(2024, 2, 1), test=date(2024, 3, 1), end=date(2024, 4, 1))"
)
LAST_MONTHS = "Windows(train=timedelta(days=60), validate=timedelta(days=20), test=timedelta(days=20))"


@pytest.mark.parametrize(
    ("declarations", "arguments"),
    [
        ([CHURN], OPTIONS),
        ([CHURN, FRAUD], ["--model", "churn", *OPTIONS]),
        ([CHURN, FRAUD], ["--service", "churn_v1", *OPTIONS]),
        ([CHURN.replace("windows=None", f"windows={FIXED}")], []),
        ([CHURN.replace("windows=None", f"windows={LAST_MONTHS}")], []),
        ([CHURN.replace("windows=None", f"windows={LAST_MONTHS}")], ["--end", "2024-04-01", "--parameter", "num_leaves=7"]),
    ],
    ids=["the only one", "the one that is named", "that of the service", "with windows", "to now", "to an end"],
)  # fmt: skip
def test_what_is_declared_is_used(market: Shop, skewless: Skewless, declarations: list[str], arguments: list[str]):
    """All that is missing then is the training set."""
    declare(market, *declarations)
    result = skewless("train", *arguments)
    assert (result.status, str(market.state / "training" / "churn_v1") in result.err) == (2, True), result


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["train", *OPTIONS[:-1], "2024-02-15"], "end (2024-02-15T00:00:00+00:00) is not after test (2024-03-01"),
        (
            ["training-set", "--start", "2024-05-01"],
            "--end (2024-04-01T00:00:00+00:00) is not after --start (2024-05-01",
        ),
        (["retrain", "--window", "0d,1d,1d"], "'0d,1d,1d' is not a valid window"),
    ],
)
def test_windows_that_do_not_ascend_are_refused_before_anything_is_read(
    market: Shop, skewless: Skewless, arguments: list[str], reason: str
):
    declare(market, CHURN.replace("windows=None", f"windows={FIXED}"))
    result = skewless(*arguments)
    assert (result.status, reason in result.err) == (2, True), result


def test_the_one_that_is_declared_is_audited(market: Shop, skewless: Skewless):
    declare(market, CHURN)
    assert "churn" in skewless("audit").err
    assert "other" in skewless("audit", "--model", "other").err


def test_outcomes_are_of_the_model_that_is_declared_or_named(market: Shop, skewless: Skewless):
    declare(market, CHURN)
    file = market.state / "outcomes.csv"
    file.write_text("request_id,label\nr1,1\n")
    printed = skewless("outcomes", str(file)).out
    assert "1 new outcomes" in printed
    assert "\nwarning: 1 of 1 outcomes are of rows that the served log does not have (" in printed
    assert [path.name for path in (market.state / "served" / "_outcomes").iterdir()] == ["model=churn"]
    result = skewless("outcomes", str(file), "--model", "chrun")
    assert result.status == 2
    assert result.err.startswith("error: there is no model 'chrun': it is not in feature_repo/models.py, nor published")
    assert "there are churn; did you mean 'churn'? nothing was stored" in result.err
    assert [path.name for path in (market.state / "served" / "_outcomes").iterdir()] == ["model=churn"]


def test_a_file_that_cannot_be_understood_stops_a_command(market: Shop, skewless: Skewless):
    file = declare(market, CHURN.replace("label='churned'", "label=''"))
    result = skewless("train")
    assert result.status == 2
    assert result.err.startswith(f"error: {file} is refused: {file}, line ")
    assert "model 'churn': label is ''; give the column of the spine to predict" in result.err


def test_parameters_are_typed_as_they_read():
    given = ["learning_rate=0.05", "num_leaves=7", "extra_trees=True", "objective=binary", "name=a=b"]
    typed = {"learning_rate": 0.05, "num_leaves": 7, "extra_trees": True, "objective": "binary", "name": "a=b"}
    assert parameters_of(given) == typed


def test_a_parameter_without_a_value_is_refused(market: Shop, skewless: Skewless):
    declare(market, CHURN)
    result = skewless("train", *OPTIONS, "--parameter", "num_leaves")
    assert (result.status, "'num_leaves' is not NAME=VALUE" in result.err) == (2, True)
