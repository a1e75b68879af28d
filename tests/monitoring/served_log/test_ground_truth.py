"""Outcomes by request id: added once however often they are brought, the last word counts, bad ones are refused whole."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from skewless.cli import app
from skewless.monitoring.served_log.ground_truth import (
    BadGroundTruth,
    GroundTruth,
    OutcomesOfNoModel,
    read,
    remove_before,
)

NOW = datetime(2013, 10, 2, tzinfo=UTC)
SERVED = pa.table({"request_id": ["a", "a", "b", "c"], "row": pa.array([0, 1, 0, 0], pa.int32())})


def batch(*rows: tuple[str, int, float]) -> pa.Table:
    ids, places, labels = zip(*rows, strict=True)
    return pa.table({"request_id": ids, "row": pa.array(places, pa.int32()), "label": pa.array(labels, pa.float64())})


def of(outcomes: GroundTruth) -> list[float | None]:
    return [None if np.isnan(one) else one for one in outcomes.labels_of(SERVED).tolist()]


def test_labels_go_to_the_rows_that_they_name(tmp_path: Path):
    outcomes = GroundTruth(tmp_path, "tiny")
    assert of(outcomes) == [None] * 4
    added = outcomes.add(batch(("a", 1, 1.0), ("c", 0, 0.0), ("z", 0, 1.0)), NOW)
    told = "3 new outcomes, 0 changed, 0 known already"
    warning = (
        "\nwarning: 3 of 3 outcomes are of rows that the served log does not have (of another request_id or model, "
    )
    assert str(added).startswith(told + warning)
    assert "<p>warning: 3 of 3 outcomes" in added._repr_html_()
    assert of(outcomes) == [None, 1.0, None, 0.0]
    assert of(GroundTruth(tmp_path, "other")) == [None] * 4


def test_labels_of_rows_that_nobody_served_are_counted(tmp_path: Path):
    outcomes = GroundTruth(tmp_path, "tiny")
    place = tmp_path / "model=tiny" / "version=1.0.0" / "day=2013-10-01"
    place.mkdir(parents=True)
    pq.write_table(SERVED, place / "some.parquet")
    pq.write_table(SERVED.slice(0, 2), place / "folded.parquet")
    labels = batch(("a", 1, 1.0), ("a", 2, 1.0), ("c", 0, 0.0), ("z", 0, 1.0))
    assert outcomes.add(labels, NOW).unserved == 2, "request a has no row 2"
    assert outcomes.add(labels, NOW).unserved == 2, "also where they are brought again"
    assert outcomes.add(batch(("b", 0, 0.0)), NOW).unserved == 0
    assert of(outcomes) == [None, 1.0, 0.0, 0.0]


def test_the_same_outcomes_twice_are_there_once_and_the_last_word_counts(tmp_path: Path):
    outcomes = GroundTruth(tmp_path, "tiny")
    outcomes.add(batch(("b", 0, 0.0)), NOW)
    before = sorted(tmp_path.rglob("*.parquet"))
    assert outcomes.add(batch(("b", 0, 0.0)), NOW).known == 1
    assert sorted(tmp_path.rglob("*.parquet")) == before
    for hours, label in enumerate((1.0, 0.0, 1.0), start=1):
        assert outcomes.add(batch(("b", 0, label)), NOW + timedelta(hours=hours)).changed == 1
        assert of(outcomes)[2] == label
    assert [file.read_bytes() for file in before] == [
        file.read_bytes() for file in sorted(tmp_path.rglob("*.parquet"))
    ][:1]


@given(batches=st.lists(st.dictionaries(st.sampled_from("abc"), st.sampled_from([0.0, 1.0]), min_size=1), max_size=5))
def test_batches_after_each_other_are_one_dictionary(tmp_path_factory: pytest.TempPathFactory, batches: list):
    outcomes, said = GroundTruth(tmp_path_factory.mktemp("served"), "tiny"), {}
    for number, labels in enumerate(batches):
        outcomes.add(batch(*((name, 0, label) for name, label in labels.items())), NOW + timedelta(seconds=number))
        said |= labels
    assert of(outcomes) == [said.get("a"), None, said.get("b"), said.get("c")]


def test_three_formats_say_the_same(tmp_path: Path):
    (tmp_path / "o.jsonl").write_text('{"request_id": "a", "row": 1, "label": true}\n')
    (tmp_path / "o.csv").write_text("request_id,row,label\na,1,1\n")
    pq.write_table(pa.table({"label": [1], "row": [1], "request_id": ["a"]}), tmp_path / "o.parquet")
    for suffix in ("jsonl", "csv", "parquet"):
        assert read(tmp_path / f"o.{suffix}").to_pylist() == [{"request_id": "a", "row": 1, "label": 1.0}]
    (tmp_path / "p.csv").write_text("request_id,label\nb,0\nb,0\n")
    assert read(tmp_path / "p.csv").to_pylist() == [{"request_id": "b", "row": 0, "label": 0.0}]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("request_id,row\na,0\n", "lack the column 'label'"),
        ("request_id,label\na,2\n", "have labels other than 0 and 1"),
        ("request_id,label\na,\nb,1\n", "have no label in 1 rows"),
        ("request_id,label\na,yes\n", "have another type"),
        ("request_id,label\na,1\na,0\n", "give one row of one request both labels"),
    ],
)
def test_what_cannot_be_understood_is_refused_whole(tmp_path: Path, text: str, told: str):
    file = tmp_path / "o.csv"
    file.write_text(text)
    with pytest.raises(BadGroundTruth, match=told):
        read(file)
    with pytest.raises(BadGroundTruth, match=r"must end in \.parquet, \.csv, \.jsonl"):
        read(tmp_path / "o.txt")
    with pytest.raises(BadGroundTruth, match="cannot be read"):
        read(tmp_path / "nowhere.csv")


def test_what_was_recorded_long_ago_goes(tmp_path: Path):
    for model in ("tiny", "other"):
        GroundTruth(tmp_path, model).add(batch(("a", 0, 0.0), ("b", 0, 1.0)), NOW - timedelta(days=2))
        GroundTruth(tmp_path, model).add(batch(("a", 0, 1.0), ("c", 0, 1.0)), NOW)
    assert remove_before(tmp_path, NOW.date(), ["tiny"]) == 1
    assert of(GroundTruth(tmp_path, "tiny")) == [1.0, None, None, 1.0]
    assert of(GroundTruth(tmp_path, "other")) == [1.0, None, 1.0, 1.0]
    assert remove_before(tmp_path, NOW.date()) == 1
    assert remove_before(tmp_path, NOW.date()) == 0
    assert remove_before(tmp_path / "nowhere", NOW.date()) == 0


def test_the_verb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SKEWLESS_STATE", str(tmp_path))
    file = tmp_path / "o.jsonl"
    file.write_text("\n".join(json.dumps({"request_id": name, "label": 1}) for name in "ab"))
    with pytest.raises(OutcomesOfNoModel, match="there is no model 'tiny'"):
        CliRunner().invoke(app, ["outcomes", str(file), "--model", "tiny"], catch_exceptions=False)
    (tmp_path / "served" / "model=tiny").mkdir(parents=True)
    told = CliRunner().invoke(app, ["outcomes", str(file), "--model", "tiny"], catch_exceptions=False)
    assert "2 new outcomes" in told.output
    assert of(GroundTruth(tmp_path / "served", "tiny")) == [1.0, None, 1.0, None]
