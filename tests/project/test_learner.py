"""Learners: parameters by LightGBM's names, refused where they are no values."""

from __future__ import annotations

import pytest

from skewless.project.learner import BadLearner, LightGbm


def test_rounds_and_patience_have_defaults_and_other_names():
    learner = LightGbm(learning_rate=0.05, n_estimators=300)
    assert learner.parameters == {"num_iterations": 300, "early_stopping_round": 50, "learning_rate": 0.05}
    assert LightGbm().parameters["num_iterations"] == 2000
    assert repr(learner) == "LightGbm(num_iterations=300, learning_rate=0.05)"
    assert eval(repr(learner), {"LightGbm": LightGbm}) == learner
    assert hash(learner) == hash(LightGbm(learning_rate=0.05, num_boost_round=300))


def test_some_parameters_may_be_given_anew():
    assert LightGbm(num_leaves=31, n_estimators=5).with_parameters({"num_leaves": 7, "n_estimators": 9}) == LightGbm(
        num_leaves=7, num_iterations=9
    )


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({"num_leaves": [31]}, "learner: num_leaves is [31]; give a number, a bool or a text"),
        ({"n_estimators": 0}, "learner: num_iterations is 0; give a whole number of rounds, at least 1"),
        ({"early_stopping_round": 1.5}, "learner: early_stopping_round is 1.5; give a whole number"),
    ],
)
def test_what_is_no_parameter_is_refused_by_name(parameters: dict, reason: str):
    with pytest.raises(BadLearner) as refused:
        LightGbm(**parameters)
    assert str(refused.value).startswith(reason)
