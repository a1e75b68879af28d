"""Learners: how a model is trained. LightGBM with its parameters, or a function of the project's own.

A function gets a `TrainingData` and returns the trained model: a scikit-learn estimator or pipeline, a LightGBM or XGBoost
estimator or booster, or a ready ONNX model (an `onnx.ModelProto` or bytes).

    def logistic(data: TrainingData) -> LogisticRegression:
        return LogisticRegression().fit(data.train.to_numpy(), data.train.labels)

It imports neither Arrow nor a learning library: a project's `models.py` is imported by every command.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from skewless.contract.errors import SkewlessError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa
    from numpy.typing import NDArray

ParameterValue = bool | int | float | str
Parameters = Mapping[str, ParameterValue]
LIGHTGBM = "lightgbm"
ROUNDS, PATIENCE = "num_iterations", "early_stopping_round"
_SAME = {
    "n_estimators": ROUNDS,
    "num_boost_round": ROUNDS,
    "num_rounds": ROUNDS,
    "early_stopping_rounds": PATIENCE,
}
"""Other names of LightGBM for the same parameters."""
_DEFAULTS: Parameters = {ROUNDS: 2000, PATIENCE: 50}


@dataclass(eq=False)
class BadLearner(SkewlessError):
    """A learner that cannot be used; `parameter` is empty where it is the learner itself."""

    parameter: str
    reason: str

    def __str__(self) -> str:
        return f"learner: {f'{self.parameter} ' if self.parameter else ''}{self.reason}"


@dataclass(frozen=True, init=False)
class LightGbm:
    """LightGBM on one matrix of numbers. The parameters are LightGBM's own; `num_iterations` (2000) is the most rounds, and
    `early_stopping_round` (50) how many rounds without a lower loss on the validation window end the training.

    Raises: BadLearner.
    """

    parameters: Parameters

    def __init__(self, **parameters: ParameterValue) -> None:
        given: dict[str, ParameterValue] = {}
        for name, value in parameters.items():
            if not isinstance(value, bool | int | float | str):
                raise BadLearner(name, f"is {value!r}; give a number, a bool or a text")
            given[_SAME.get(name, name)] = value
        for name in _DEFAULTS:
            rounds = given.get(name, 1)
            if isinstance(rounds, bool) or not isinstance(rounds, int) or rounds < 1:
                raise BadLearner(name, f"is {rounds!r}; give a whole number of rounds, at least 1")
        object.__setattr__(self, "parameters", dict(_DEFAULTS) | given)

    def __hash__(self) -> int:
        return hash(tuple(sorted(self.parameters.items(), key=str)))

    def __repr__(self) -> str:
        given = (f"{name}={value!r}" for name, value in self.parameters.items() if _DEFAULTS.get(name) != value)
        return f"LightGbm({', '.join(given)})"

    def with_parameters(self, more: Parameters) -> LightGbm:
        """The same with other values of some parameters. Raises: BadLearner."""
        return LightGbm(**dict(self.parameters) | {_SAME.get(name, name): value for name, value in more.items()})


@dataclass(frozen=True)
class LabelledRows:
    """The n rows of one window whose label is known by its end, in order of time."""

    names: tuple[str, ...]
    """The k features in the order of the feature service, as `view__feature`; request inputs by their own name."""
    labels: NDArray[np.float64]
    """0.0 or 1.0 for each row."""
    table: pa.Table
    """The spine's columns, then the features and transform outputs, typed; null where there is no value."""
    _matrix: Callable[[], NDArray[np.float32]] = field(repr=False)
    _frame: Callable[[], pd.DataFrame] = field(repr=False)

    def __len__(self) -> int:
        return len(self.labels)

    def to_numpy(self) -> NDArray[np.float32]:
        """The features as n x k float32, exactly as a server gives them to the model: where there is no value NaN, or the
        feature's tag `default`. Raises: InvalidPlan where a feature is text.
        """
        return self._matrix()

    def to_pandas(self) -> pd.DataFrame:
        """The features, each a column as a server gives it to the model: float32 (NaN, or the tag `default`, where there is
        no value), int64 for whole numbers with a whole `default`, and text (empty where there is no value).
        """
        return self._frame()

    def to_arrow(self) -> pa.Table:
        """The features as they are in the training set: typed, null where there is no value."""
        return self.table.select(list(self.names))


@dataclass(frozen=True)
class TrainingData:
    """What a learner's function is given: the rows to fit, and those to stop or choose by. The test window is held back: it
    measures what the function returns.
    """

    train: LabelledRows
    validate: LabelledRows
    parameters: Parameters
    """What `skewless train --parameter NAME=VALUE` gave."""

    @property
    def names(self) -> tuple[str, ...]:
        """The features in the order of the feature service, as `view__feature`."""
        return self.train.names


LearnerFunction = Callable[[TrainingData], object]
Learner = LightGbm | LearnerFunction


def learner_name(learner: Learner) -> str:
    """`lightgbm`, or the function's name."""
    return LIGHTGBM if isinstance(learner, LightGbm) else getattr(learner, "__qualname__", type(learner).__qualname__)
