"""Training sets, models and versions from frames and declarations; the same as the command line makes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skewless.offline.tables.row_batches import UnknownRows
from skewless.project.declared_models import ModelNotDeclared
from skewless.runtime.errors import EmptyWindow, SpineMismatch, SpineMissing, StepInputMissing, WindowOrder
from skewless.sdk import Project
from skewless.sdk.arguments import BadArgument

ROWS = 40


@pytest.fixture
def orders(project: Project) -> pd.DataFrame:
    """Some rows to join, as a person has them in a notebook."""
    return project.training_set().to_pandas()[["customer_id", "request_unix", "event_timestamp"]].head(ROWS)


def test_a_training_set_comes_as_every_frame(project: Project):
    joined = project.training_set()
    assert joined.rows == len(joined.to_pandas()) == len(joined.to_polars()) == len(joined.to_arrow()) > 1_000
    assert joined.folder == project.settings.folders.training / "shop_v1"
    assert "orders__total" in joined.to_pandas().columns
    assert str(joined) == f"{joined.rows:,} rows, {joined.columns} columns in {joined.folder}"


def test_every_spine_gives_the_same_values(project: Project, orders: pd.DataFrame, tmp_path: Path):
    table = pa.Table.from_pandas(orders, preserve_index=False)
    pq.write_table(table, tmp_path / "orders.parquet")
    pq.write_table(table, project.settings.folders.data / "mine.parquet")
    ever = {"start": "2000-01-01", "end": "2100-01-01"}
    spines = [orders, pl.from_pandas(orders), table, table.to_pylist()]
    joined = [project.training_set(spine, keep=False).to_arrow() for spine in spines]
    joined += [
        project.training_set(place, **ever, keep=False).to_arrow() for place in ("orders.parquet", "mine.parquet")
    ]
    features = [name for name in joined[0].column_names if "__" in name]
    assert len(features) >= 5
    for other in joined:
        assert other.select(features).equals(joined[0].select(features))
    kept = project.training_set()
    of_the_model = kept.to_pandas().merge(orders, on=["customer_id", "event_timestamp"])
    assert of_the_model.orders__total.tolist() == joined[0].column("orders__total").to_pylist()


def test_what_is_not_kept_leaves_the_training_set_of_the_model(project: Project, orders: pd.DataFrame):
    before = project.training_set()
    look = project.training_set(orders, keep=False)
    assert (look.rows, look.folder) == (ROWS, None)
    assert len(project.training_set().to_arrow()) == before.rows
    assert project.train().run.rows > ROWS


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        (lambda rows: rows.drop(columns="event_timestamp"), SpineMismatch, "'event_timestamp' is absent"),
        (lambda rows: rows.drop(columns="customer_id"), SpineMismatch, "'customer_id' is absent"),
        (lambda rows: rows.assign(event_timestamp=pd.NaT), SpineMismatch, "each row needs a time"),
        (lambda rows: rows.head(0), BadArgument, "spine= has no rows"),
        (lambda _: 42, BadArgument, "spine= is int"),
        (lambda _: "nowhere", SpineMissing, "there is no spine at nowhere"),
    ],
)
def test_rows_that_cannot_be_joined_are_refused_by_name(project: Project, orders: pd.DataFrame, change, error, text):
    kept = project.training_set().rows
    with pytest.raises(error, match=text):
        project.training_set(change(orders))
    assert len(pq.read_table(project.settings.folders.training / "shop_v1" / "data.parquet")) == kept
    assert UnknownRows


def test_windows_are_refused_in_the_words_of_python(project: Project):
    with pytest.raises(WindowOrder, match=r"end= \(2025-01-01.*is not after start="):
        project.training_set(start="2025-06-01", end="2025-01-01")
    with pytest.raises(EmptyWindow, match="has no row from 2001"):
        project.training_set(start="2001-01-01", end="2001-02-01")
    with pytest.raises(ModelNotDeclared, match="no model 'returns', only buys_again"):
        project.train(model="returns")
    with pytest.raises(StepInputMissing, match="a published version of returns"):
        project.models.show("returns")


def test_an_explanation_reads_nothing(project: Project, orders: pd.DataFrame):
    assert str(project.explain(orders)).startswith(f"{ROWS} rows in 1 block")


def test_training_and_publishing_again_changes_nothing(project: Project):
    project.training_set()
    fitted = project.train()
    assert fitted.metrics["auc"] > 0.6
    assert "on the test window" in fitted._repr_html_()
    version = project.publish()
    assert (version.model, version.created) == ("buys_again", False)
    assert "Proven" in version.card
    assert "srcdoc=" in version._repr_html_()
    listed = project.models.list()
    assert version.version in str(listed)
    assert "champion" in listed._repr_html_()


def test_parameters_and_graphs_that_cannot_be_used_are_refused(project: Project):
    with pytest.raises(BadArgument, match=r"onnx= there is no file nowhere\.onnx"):
        project.publish(onnx="nowhere.onnx")
    with pytest.raises(BadArgument, match="max_score_difference= is of optimise= and quantise="):
        project.publish(max_score_difference=0.1)


def test_a_frame_is_scored_as_the_rows_of_its_model(project: Project, tmp_path: Path):
    whole = project.score().to_pandas()
    some = whole.sample(ROWS, random_state=1).sort_values(["event_timestamp", "customer_id"])
    frame = some[["customer_id", "request_unix", "event_timestamp"]]
    scored = project.score(frame, out=tmp_path / "scores").to_pandas().sort_values(["event_timestamp", "customer_id"])
    assert np.array_equal(scored.score.to_numpy(), some.score.to_numpy())
    assert project.score().lines()[0].endswith("which held them already")


def test_a_candidate_is_compared_with_the_champion(project: Project):
    champion = project.models.show("buys_again").current.champion
    retrained = project.retrain(until="2026-02-01", canary=0)
    assert isinstance(retrained.better, bool)
    assert retrained.page.is_file()
    assert "logloss" in retrained._repr_html_()
    assert project.models.show("buys_again").current.champion == champion
