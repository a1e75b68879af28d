"""A project of its own: its model is declared, its spine is a CSV file, and each command takes what it is not given from there."""

from __future__ import annotations

import csv
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from feast import FeatureService, FeatureStore

from skewless.registry.model_registry import ModelRegistry
from tests.cli.shop_project import Shop, Skewless

MODELS = """
from datetime import timedelta

from skewless.project import LightGbm, Model, PromotionRule, TrainingData, Windows


def logistic(data: TrainingData):
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    model = make_pipeline(SimpleImputer(), LogisticRegression(C=float(data.parameters.get("C", 1.0))))
    return model.fit(data.train.to_numpy(), data.train.labels)


def declared(name, learner):
    return Model(
        name=name, service="ages", spine="months.csv", label="churned", label_known_after=timedelta(days=3),
        windows=Windows(train=timedelta(days=20), validate=timedelta(days=5), test=timedelta(days=5)), learner=learner,
    )


trees = declared("trees", LightGbm(num_iterations=5, num_leaves=4, min_data_in_leaf=5, num_threads=1))
curve = declared("curve", logistic)
"""
END = datetime(2024, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
CUSTOMERS = 40


@pytest.fixture
def project(market: Shop, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """Forty days of a spine that ends with February."""
    store = FeatureStore(repo_path=str(market.state / "feature_repo"))
    store.apply([FeatureService(name="ages", features=[store.get_feature_view("people")[["age"]]])])
    monkeypatch.setattr("skewless.sdk.session.utc_now", lambda: END + timedelta(hours=7))
    (market.state / "feature_repo" / "models.py").write_text(MODELS)
    for part, known in enumerate((END - 41 * DAY, END - 20 * DAY)):
        times = {"event_timestamp": known, "created_timestamp": known}
        market.write(
            "people", *({"customer": n, "age": 20 + n, **times} for n in range(CUSTOMERS)), part=f"part-{part}"
        )
    write_spine(market.data / "months.csv", END)
    return market


def write_spine(path: Path, end: datetime) -> None:
    rng = np.random.default_rng(3)
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["customer", "event_timestamp", "churned", "note"])
        for day in range(40, 0, -1):
            for number in range(CUSTOMERS):
                label = number > 20 if rng.random() < 0.9 else number <= 20
                rows.writerow([number, (end - day * DAY).isoformat(), str(label).lower(), "x"])


@pytest.mark.parametrize("model", ["trees", "curve"])
def test_from_a_declaration_to_scores(project: Shop, skewless: Skewless, model: str):
    """Windows are 23, 8 and 8 days: until the label is known it takes three days."""
    joined = skewless("training-set", "--model", model)
    assert joined.status == 0, joined.err
    assert f"{39 * CUSTOMERS:,} rows" in joined.out
    frame = pd.read_parquet(project.state / "training" / f"ages.{model}")
    assert frame["people__age"].notna().all()
    trained = skewless("train", "--model", model)
    assert trained.status == 0, trained.err
    assert f"{21 * CUSTOMERS:,} rows, {'by logistic' if model == 'curve' else '5 trees'}" in trained.out, trained.out
    assert f"on {6 * CUSTOMERS:,} rows" in trained.out, "rows whose label is not known yet take no part"
    published = skewless("publish", "--model", model)
    assert published.status == 0, published.err
    assert f"{model} 1.0.0 proven and published" in published.out
    assert ModelRegistry(project.state / "models", project.state).models() == [model]
    scored = skewless("score", "--model", model)
    assert f"{8 * CUSTOMERS:,} rows in" in scored.out, scored.err


def test_two_models_on_one_service_do_not_take_each_others_training_set(project: Shop, skewless: Skewless):
    assert skewless("training-set", "--model", "trees").status == 0
    assert skewless("train", "--model", "trees").status == 0
    for command in (["train"], ["publish"]):
        result = skewless(*command, "--model", "curve")
        assert (result.status, "run `skewless training-set` first" in result.err) == (2, True), result
        several = skewless(*command, "--service", "ages")
        assert "feature service 'ages' is of several models of" in several.err
    assert not (project.state / "models").exists()


def test_what_is_not_there_is_refused_and_the_good_training_set_stays(project: Shop, skewless: Skewless):
    skewless("training-set", "--model", "trees")
    folder = project.state / "training" / "ages.trees"
    before = {path: path.read_bytes() for path in folder.iterdir()}
    there = f"its rows are from {(END - 40 * DAY).isoformat()} to {(END - DAY).isoformat()}"
    refused = {
        ("--end", "2023-01-01"): there,
        ("--start", "2024-02-01", "--end", "2024-01-01"): "--end (2024-01-01T00:00:00+00:00) is not after --start",
        ("--spine", "nowhere.parquet"): "there is no spine at nowhere.parquet; fill that table with `skewless ingest`",
        ("--service", "ags"): "'ags' cannot be used: the registry does not have it",
    }
    for arguments, reason in refused.items():
        result = skewless("training-set", "--model", "trees", *arguments)
        assert (result.status, reason in result.err) == (2, True), result
    scored = skewless("score", "--model", "trees", "--end", "2023-01-01")
    assert scored.status == 2, "it is not published"
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    write_spine(project.data / "months.csv", END - 100 * DAY)
    assert f"no row from {(END - 39 * DAY).isoformat()}" in skewless("training-set", "--model", "trees").err
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_a_graph_that_is_not_there_is_named(project: Shop, skewless: Skewless):
    result = skewless("publish", "--model", "trees", "--onnx", "missing.onnx")
    assert (result.status, "there is no file missing.onnx" in result.err) == (2, True), result
    assert "Traceback" not in result.err
