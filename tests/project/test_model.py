"""The declaration of a model: what it may say, what is refused by model and field, and that it costs no import."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta

import pytest

from skewless.project import LightGbm, Model, PromotionRule, Windows
from skewless.project.model import BadModel, BadPromotionRule, LabelColumn

GIVEN = {"name": "churn", "service": "churn_v1", "spine": "months", "label": "churned"}
AFTER = timedelta(days=30)


def test_a_model_says_when_its_label_is_known():
    after = Model(**GIVEN, label_known_after=AFTER)
    assert after.label_column == LabelColumn("churned", AFTER)
    assert Model(**GIVEN, label_known_at="known_at").label_column == LabelColumn("churned", known_at="known_at")
    assert (after.windows, after.learner, after.promotion) == (None, LightGbm(), PromotionRule())
    assert after == Model(**GIVEN, label_known_after=AFTER)
    with pytest.raises(AttributeError):
        after.name = "other"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"name": "a/b"}, "model 'a/b': name is part of an address: letters, digits"),
        ({"name": 7}, "model '7': name is part of an address"),
        ({"service": ""}, "model 'churn': service is ''; give the name of a feature service"),
        ({"spine": None}, "model 'churn': spine is None; give the name of a table in the data folder, or a path"),
        ({"label": " "}, "model 'churn': label is ' '; give the column of the spine to predict"),
        ({"label_known_after": None}, "model 'churn': label_known_after is missing: label_known_after=timedelta(days=30) says"),
        ({"label_known_at": "known"}, "model 'churn': label_known_after is given beside label_known_at; give one of them"),
        ({"label_known_after": 30}, "model 'churn': label_known_after is 30; give a timedelta that is not negative"),
        ({"label_known_after": -AFTER}, "model 'churn': label_known_after is datetime.timedelta(days=-30); give a timedelta"),
        ({"label_known_after": None, "label_known_at": ""}, "model 'churn': label_known_at is ''; give the name of a time"),
        ({"windows": "30d"}, "model 'churn': windows is '30d'; give Windows(train=timedelta(days=180), "),
        ({"promotion": 0.1}, "model 'churn': promotion is 0.1; give PromotionRule(margin=0.001)"),
        ({"learner": {"num_leaves": 3}}, "model 'churn': learner is {'num_leaves': 3}; give LightGbm(learning_rate=0.05)"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_by_model_and_field(fields: dict, reason: str):
    with pytest.raises(BadModel) as refused:
        Model(**GIVEN | {"label_known_after": AFTER} | fields)
    assert str(refused.value).startswith(reason)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"margin": -0.1}, "promotion: margin is -0.1; a gain is not negative"),
        ({"margin": float("nan")}, "promotion: margin is nan"),
        ({"margin": "much"}, "promotion: margin is 'much'; give a number"),
        ({"confidence": 1.0}, "promotion: confidence is 1; give a share in (0.5, 1), as 0.95"),
        ({"canary": 0}, "promotion: canary is 0; give a share of the entities in (0, 1], or None"),
    ],
)
def test_a_rule_that_cannot_be_is_refused_by_field(fields: dict, reason: str):
    with pytest.raises(BadPromotionRule) as refused:
        PromotionRule(**fields)
    assert str(refused.value).startswith(reason)


def test_a_declaration_imports_neither_feast_nor_arrow_nor_a_learning_library():
    program = (
        "import sys\n"
        "from skewless.project import LightGbm, Model, PromotionRule, Windows\n"
        "heavy = {'feast', 'pyarrow', 'sklearn', 'lightgbm', 'pandas', 'numpy', 'onnx'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_what_the_package_does_not_have_is_an_attribute_error():
    import skewless.project

    assert not hasattr(skewless.project, "Modle")
    assert Windows is skewless.project.Windows
