"""`explain: contributions` over HTTP: what a tree model tells, and what is told of models that cannot."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from skewless.registry.bundle_folder import open_bundle
from skewless.registry.cpu_features import processor_features
from skewless.server.rollout.live_models import LiveModels
from tests import oracles
from tests.models import tiny, trees
from tests.models.trees import compiled_leaves
from tests.oracles import Leaf, Split
from tests.services.http_problems import assert_problem
from tests.services.predict_server import PREDICT, ROW, Live, serving, settings_of
from tests.services.waiting import until

FOREST = [
    Split(0, "BRANCH_LEQ", 5.0, True, Leaf((-1.0,), 60), Split(3, "BRANCH_LEQ", 12.0, False, Leaf((0.5,), 30), Leaf((2.0,), 10))),
    Split(2, "BRANCH_LT", 0.0, False, Leaf((0.75,), 20), Split(4, "BRANCH_LEQ", 0.0, False, Leaf((-0.25,), 40), Leaf((0.5,), 40))),
]  # fmt: skip
COLUMNS = ["mean", "departures", "age", "hour", "swell"]
BOUNDS = {"most_errors": 0.01, "most_slow": None, "least_requests": 1, "confidence": 0.6}
GRAPH = trees.onnx_graph(FOREST, 5, base=[-0.5], post_transform="LOGISTIC")


@pytest.fixture
def forest(state: Path, stored: str) -> Iterator[Live]:
    """A server whose champion is 3.0.0, a tree model; 4.0.0 is the same without its leaves."""
    leaves = compiled_leaves(GRAPH, FOREST, output="probabilities").to_parquet()
    tiny.write_bundle(state / "models", "3.0.0", graph=GRAPH, leaves=leaves)
    tiny.write_bundle(state / "models", "4.0.0", graph=GRAPH)
    tiny.roll_out(state / "models", champion="3.0.0")
    with serving(settings_of(state, stored, allow_as_of=True)) as live:
        yield live


def test_they_are_told_by_the_names_of_the_models_columns(forest: Live):
    rows = [ROW, {"origin": "nowhere", "tailnum": None, "hour": 20}, {**ROW, "hour": None}]
    body = forest.score(*rows, explain="contributions")
    plain = forest.score(*rows)
    assert body["scores"] == plain["scores"]
    assert set(body) - set(plain) == {"contributions"}
    features = forest.score(*rows, explain="features")["features"]
    matrix = [[7.25, 2.0**53, 12.5, 8.0], [np.nan, 0.0, -1.0, 20.0], [7.25, 2.0**53, 12.5, np.nan]]
    for given, used, told, score in zip(matrix, features, body["contributions"], body["scores"], strict=True):
        swell = used["rush__swell"]["value"]
        row = [*given, np.nan if swell is None else swell]
        assert list(told["features"]) == COLUMNS
        assert list(told["features"].values()) == pytest.approx(oracles.contributions(FOREST, row), abs=1e-14)
        assert told["base"] == pytest.approx(-0.5 + sum(oracles.expected(one, row, (), 0) for one in FOREST), abs=1e-14)
        assert told["base"] + sum(told["features"].values()) == pytest.approx(told["raw"], abs=1e-14)
        assert 1 / (1 + np.exp(-told["raw"])) == pytest.approx(score, abs=1e-7)
        assert told["features"]["departures"] == 0.0, "no tree splits by it"


def test_a_thousand_rows_and_another_time(forest: Live):
    rows = [{**ROW, "hour": number % 24} for number in range(1_000)]
    body = forest.score(*rows, explain="contributions", as_of="2013-10-01T12:00:00Z")
    assert len(body["contributions"]) == 1_000
    assert body["contributions"][:24] == body["contributions"][24:48]
    until(lambda: forest.metric("skewless_served_log_written_rows_total") == 1_000)


@pytest.mark.parametrize(
    ("version", "told"),
    [("1.0.0", "model 'tiny' 1.0.0 is no tree model"), ("4.0.0", "of model 'tiny' 4.0.0 keeps no leaves")],
)
def test_a_model_that_tells_none_is_named(forest: Live, version: str, told: str):
    tiny.roll_out(forest.settings.models, pinned=[version])
    url = PREDICT.replace("/predict", f"@{version}/predict")
    until(lambda: forest.client.post(url, json={"rows": [ROW]}).status_code == 200)
    answer = forest.client.post(url, json={"rows": [ROW], "explain": "contributions"})
    assert_problem(answer, 422, "no-contributions")
    assert told in answer.json()["detail"]
    assert ("publish the model again" in answer.json()["detail"]) == (version == "4.0.0")
    assert forest.client.post(url, json={"rows": [ROW], "explain": "features"}).status_code == 200


def test_two_versions_answer_together_and_a_refusal_ends_no_trial(forest: Live, monkeypatch: pytest.MonkeyPatch):
    rows = [{**ROW, "tailnum": f"N{number}"} for number in range(20)]
    trial = {"weight": 0.5, "by": ["tailnum"], "bounds": BOUNDS}
    tiny.write_bundle(
        forest.settings.models,
        "5.0.0",
        graph=GRAPH,
        leaves=(forest.settings.models / "tiny/3.0.0/leaves.parquet").read_bytes(),
    )
    tiny.roll_out(forest.settings.models, canary={"version": "5.0.0", **trial})
    until(lambda: "versions" in forest.score(*rows))
    body = forest.score(*rows, explain="contributions")
    alone = [forest.score(row, explain="contributions") for row in rows]
    assert {one["version"] for one in alone} == {"3.0.0", "5.0.0"} == set(body["versions"])
    assert body["contributions"] == [one["contributions"][0] for one in alone]
    tiny.roll_out(forest.settings.models, canary={"version": "1.0.0", **trial})
    until(lambda: "1.0.0" in forest.score(*rows).get("versions", ()))
    for _ in range(30):
        assert_problem(forest.predict(*rows, explain="contributions"), 422, "no-contributions")
    refreshes: list[None] = []
    refresh = LiveModels.refresh

    async def counted(models: LiveModels) -> None:
        await refresh(models)
        refreshes.append(None)

    monkeypatch.setattr(LiveModels, "refresh", counted)
    until(lambda: len(refreshes) > 3)  # what would withdraw it has looked at it
    assert "1.0.0" in forest.score(*rows)["versions"]


def test_leaves_of_another_model_are_refused(tmp_path: Path):
    other = [Split(0, "BRANCH_LEQ", 5.0, True, Leaf((-1.0,), 60), Leaf((1.0,), 40))]
    leaves = compiled_leaves(trees.onnx_graph(other, 5, post_transform="LOGISTIC"), other, output="probabilities")
    folder = tiny.write_bundle(tmp_path, "1.0.0", graph=GRAPH, leaves=leaves.to_parquet())
    with pytest.raises(Exception, match=r"leaves.parquet adds up to other scores than its golden rows"):
        open_bundle(folder, processor_features())


def test_the_document_tells_of_them(forest: Live):
    described = forest.client.get("/openapi.json").json()["paths"]["/v1/models/{name}/predict"]["post"]
    content = described["requestBody"]["content"]["application/json"]
    assert content["schema"]["properties"]["explain"]["enum"] == ["features", "contributions"]
    assert "with contributions" in content["examples"]
    answer = described["responses"]["200"]["content"]["application/json"]["schema"]
    assert set(answer["properties"]["contributions"]["items"]["properties"]) == {"base", "raw", "features"}
