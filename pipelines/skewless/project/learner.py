"""Learners: how a model is trained.

It imports neither Arrow nor a learning library: a project's `models.py` is imported by every command.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from skewless.contract.errors import SkewlessError

ParameterValue = bool | int | float | str
Parameters = Mapping[str, ParameterValue]
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
