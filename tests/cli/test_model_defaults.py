"""What verbs are not told comes from the project's `models.yaml`; where that does not say it, the option is named."""

from __future__ import annotations

import pytest

from tests.cli.shop_project import Shop, Skewless

DECLARED = """
models:
  churn: {service: churn_v1, spine: months, label: churned}
"""
SEVERAL = DECLARED + "  fraud: {service: fraud_v1, spine: orders, label: bad}\n"


def declare(market: Shop, text: str) -> str:
    file = market.state / "feature_repo" / "models.yaml"
    file.write_text(text)
    return str(file)


NEEDS = [
    (["training-set"], "--service"),
    (["training-set", "--service", "s", "--spine", "x.parquet"], "--start"),
    (["train"], "--start"),
    (["publish"], "--service"),
    (["score", "--model", "m", "--version", "1.0.0"], "--start"),
    (["retrain", "--to", "2024-01-01"], "--window"),
    (["retrain", "--to", "2024-01-01", "--window", "2d,1d,1d", "--service", "s", "--label", "l"], "--spine"),
    (["audit", "what-if"], "--from"),
]


@pytest.mark.parametrize(("words", "option"), NEEDS)
def test_without_a_declaration_the_option_to_give_is_named(
    market: Shop, skewless: Skewless, words: list[str], option: str
):
    told = skewless(*words)
    assert (told.status, told.out) == (2, "")
    assert told.err.startswith(f"error: {market.state}/feature_repo/models.yaml declares no model")
    assert told.err.endswith(f"or give {option}\n")


@pytest.mark.parametrize("words", [["audit"], ["drift"], ["score"], ["publish", "--service", "s"]])
def test_where_no_model_is_declared_one_is_named(market: Shop, skewless: Skewless, words: list[str]):
    told = skewless(*words)
    expected = f"error: no model was named, and {market.state}/feature_repo/models.yaml declares none; give --model\n"
    assert (told.status, told.err) == (2, expected)


def test_of_several_models_one_is_named(market: Shop, skewless: Skewless):
    file = declare(market, SEVERAL)
    told = skewless("audit")
    assert told.err == f"error: no model was named, and {file} declares several: churn, fraud; give --model\n"
    told = skewless("train")
    assert told.err == f"error: {file} declares the models churn, fraud; name one of them, or give --start\n"
    told = skewless("train", "--model", "fraud")
    assert told.err.startswith(f"error: model 'fraud' of {file} has no windows; write `windows: ")


WINDOWS = "windows: {train: 2024-01-01, validate: 2024-02-01, test: 2024-03-01, end: 2024-04-01}"
OPTIONS = ["--start", "2024-01-01", "--validate", "2024-02-01", "--test", "2024-03-01", "--end", "2024-04-01"]


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        (DECLARED, OPTIONS),
        (SEVERAL, ["--model", "churn", *OPTIONS]),
        (DECLARED.replace("churned}", f"churned, {WINDOWS}}}"), []),
    ],
    ids=["the only one", "the one that is named", "with windows"],
)
def test_what_is_declared_is_used(market: Shop, skewless: Skewless, declared: str, words: list[str]):
    """All that is missing then is the training set."""
    declare(market, declared)
    told = skewless("train", *words)
    assert (told.status, str(market.state / "training" / "churn_v1") in told.err) == (2, True), told


def test_the_one_that_is_declared_is_audited(market: Shop, skewless: Skewless):
    declare(market, DECLARED)
    assert "churn" in skewless("audit").err
    assert "other" in skewless("audit", "--model", "other").err


def test_a_file_that_cannot_be_understood_stops_a_verb(market: Shop, skewless: Skewless):
    file = declare(market, DECLARED.replace("label", "lable"))
    told = skewless("train")
    assert told.status == 2
    assert told.err.startswith(
        f"error: {file} is refused: models.churn.lable: there is no such key; did you mean 'label'?"
    )
