"""A model's card: what moves its scores, whether its promises hold, and a page that needs nothing beside itself."""

from __future__ import annotations

import re

import numpy as np

from skewless.contract.model.bundle import open_model
from skewless.contract.model.matrix_scorer import ScoreOutput
from skewless.model.distributions import baseline
from skewless.model.publishing.model_card import drawn_distributions, importance
from tests.model.publishing.late_model import NOW, published
from tests.models import tiny


def test_an_input_that_does_nothing_moves_nothing():
    model = open_model(tiny.plan(), tiny.model((0.5, 0.0, -2.0, 0.0, 1.0)), ScoreOutput("probabilities", 1), None)
    rows = np.random.default_rng(1).normal(size=(200, 5)).astype(np.float32)
    found = importance(model, [rows])
    assert [one.name for one in found] == ["age", "swell", "mean", "departures", "hour"]
    assert [one.share for one in found][::4] == [1.0, 0.0]
    assert found == importance(model, [rows]), "equal runs tell equal things"


def test_distributions_without_values_have_no_picture():
    found = baseline.Baseline(
        {"none": baseline.numbers(np.full(9, np.nan)), "some": baseline.numbers(np.arange(500.0))},
        {}, {}, baseline.numbers(np.zeros(20)),
    )  # fmt: skip
    inputs, scores = drawn_distributions(found)
    assert [(one.name, one.nulls, one.histogram is None) for one in inputs] == [
        ("none", 1.0, True),
        ("some", 0.0, False),
    ]
    assert scores[0].histogram is not None


def test_the_card_is_in_the_bundle_and_needs_no_network(opened, models):
    done = published(opened, models)
    page = (done.folder / "card.html").read_text()
    assert "card.html" in done.manifest.digests
    assert not re.search(r"https?://|<script|src=", page)
    assert "prefers-color-scheme: dark" in page
    for told in ("late 1.0.0", "Calibration", f"{done.manifest.metrics['auc']:.4f}", "departures", "2013-02-01 UTC"):
        assert told in page
    assert f"{NOW:%Y-%m-%d %H:%M}" in page
