"""The declaration of a model, in a project's `models.py` beside its definitions.

    from datetime import timedelta
    from skewless.project import LightGbm, Model, PromotionRule, Windows

    churn = Model(
        name="churn",                              # it is served under this name
        service="churn_v1",                        # feature service that it is trained on
        spine="customer_months",                   # table of the rows, in the data folder; or a path
        label="churned",                           # column of the spine to predict: 0 or 1
        label_known_after=timedelta(days=30),      # or label_known_at="known_at", a column of the spine
        windows=Windows(train=timedelta(days=180), validate=timedelta(days=30), test=timedelta(days=30)),
        learner=LightGbm(learning_rate=0.05),      # or a function of your own: see skewless.project.learner
        promotion=PromotionRule(margin=0.001),     # what `retrain` decides by
    )

Commands and DAGs take their defaults from it. It imports neither Feast nor Arrow.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from skewless.contract.errors import SkewlessError
from skewless.contract.rollout.names import SANE_NAME
from skewless.project.learner import Learner, LightGbm
from skewless.project.windows import Windows

_TRIAL = "a share of the entities in (0, 1]"


@dataclass(eq=False)
class BadModel(SkewlessError):
    """A declared model that cannot be used: its `field` is refused for the `reason`."""

    model: str
    field: str
    reason: str

    def __str__(self) -> str:
        return f"model {self.model!r}: {self.field} {self.reason}"


@dataclass(eq=False)
class BadPromotionRule(SkewlessError):
    """A promotion rule that cannot be used."""

    field: str
    reason: str

    def __str__(self) -> str:
        return f"promotion: {self.field} {self.reason}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PromotionRule:
    """What `skewless retrain` and its DAG decide by. Raises: BadPromotionRule."""

    margin: float = 0.0
    """The gain in logloss that a candidate needs on the held-out rows: more than this, with confidence."""
    confidence: float = 0.95
    """How sure that gain must be, in (0.5, 1)."""
    canary: float | None = None
    """Share of the entities that a better candidate is tried on; None: the command only publishes it, and the DAG tries
    it on 5%.
    """
    approval: bool = True
    """Whether the DAG waits for a person's approval before it tries a better candidate."""

    def __post_init__(self) -> None:
        for name in ("margin", "confidence", "canary"):
            value: object = getattr(self, name)
            if (isinstance(value, bool) or not isinstance(value, int | float)) and not (
                name == "canary" and value is None
            ):
                raise BadPromotionRule(name, f"is {value!r}; give a number")
        if not self.margin >= 0.0:
            raise BadPromotionRule("margin", f"is {self.margin:g}; a gain is not negative")
        if not 0.5 < self.confidence < 1.0:
            raise BadPromotionRule("confidence", f"is {self.confidence:g}; give a share in (0.5, 1), as 0.95")
        if self.canary is not None and not 0.0 < self.canary <= 1.0:
            raise BadPromotionRule("canary", f"is {self.canary:g}; give {_TRIAL}, or None")


@dataclass(frozen=True, slots=True)
class LabelColumn:
    """The column of a spine that is predicted, and when its value is known: `known_after` the row's time, or at the time in
    the column `known_at`.
    """

    name: str
    known_after: timedelta = timedelta(0)
    known_at: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model: what it predicts, from which features and rows, over which windows, and how it is trained.

    Exactly one of `label_known_after` and `label_known_at` is given: a row whose label is not known by the end of its
    window takes no part in training. `timedelta(0)` says that the label is known at the row's own time. Raises: BadModel.
    """

    name: str
    service: str
    spine: str
    label: str
    label_known_after: timedelta | None = None
    label_known_at: str | None = None
    windows: Windows | None = None
    learner: Learner = field(default_factory=LightGbm)
    promotion: PromotionRule = field(default_factory=PromotionRule)

    def __post_init__(self) -> None:
        name: object = self.name
        if not isinstance(name, str) or not SANE_NAME.fullmatch(name):
            raise BadModel(str(name), "name", "is part of an address: letters, digits, `.`, `_` and `-`, at most 128")
        for text in ("service", "spine", "label"):
            value: object = getattr(self, text)
            if not isinstance(value, str) or not value.strip():
                raise BadModel(self.name, text, f"is {value!r}; give {_EXPECTED[text]}")
        self._check_label()
        for part, kind in (("windows", Windows | None), ("promotion", PromotionRule)):
            value = getattr(self, part)
            if not isinstance(value, kind):
                raise BadModel(self.name, part, f"is {value!r}; give {_EXPECTED[part]}")
        if not isinstance(self.learner, LightGbm) and not callable(self.learner):
            raise BadModel(self.name, "learner", f"is {self.learner!r}; give {_EXPECTED['learner']}")

    def _check_label(self) -> None:
        after: object = self.label_known_after
        at: object = self.label_known_at
        if (after is None) == (at is None):
            given = "is given beside label_known_at; give one of them" if after is not None else "is missing"
            raise BadModel(self.name, "label_known_after", f"{given}: {_EXPECTED['known']}")
        if after is not None and (not isinstance(after, timedelta) or after < timedelta(0)):
            raise BadModel(self.name, "label_known_after", f"is {after!r}; give a timedelta that is not negative")
        if at is not None and (not isinstance(at, str) or not at.strip()):
            raise BadModel(self.name, "label_known_at", f"is {at!r}; give the name of a time column of the spine")

    @property
    def label_column(self) -> LabelColumn:
        """The label and when it is known."""
        return LabelColumn(self.label, self.label_known_after or timedelta(0), self.label_known_at)


_EXPECTED = {
    "service": "the name of a feature service, as service='churn_v1'",
    "spine": "the name of a table in the data folder, or a path, as spine='customer_months'",
    "label": "the column of the spine to predict, as label='churned'",
    "known": "label_known_after=timedelta(days=30) says how long after a row's time its label is known, and "
    "label_known_at='known_at' names a column that says when",
    "windows": "Windows(train=timedelta(days=180), validate=timedelta(days=30), test=timedelta(days=30))",
    "promotion": "PromotionRule(margin=0.001)",
    "learner": "LightGbm(learning_rate=0.05), or a function that takes a TrainingData and returns a model",
}
