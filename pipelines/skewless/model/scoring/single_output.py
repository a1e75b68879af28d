"""The single score per row of a model of any signature, as AUC, logloss and model comparisons need it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skewless.contract.columns import ColumnValues
from skewless.contract.errors import SkewlessError
from skewless.contract.model.bundle import Bundle
from skewless.contract.model.signature import MatrixSignature
from skewless.contract.plan import ColumnSource
from skewless.model.conversion.model_outputs import described, single_output

ScoreFunction = Callable[[Mapping[ColumnSource, ColumnValues]], NDArray[np.floating]]
"""Maps the values that a plan names to one score per row."""


@dataclass(eq=False)
class NoSingleScore(SkewlessError):
    """A model whose outputs cannot be compared with labels of 0 and 1."""

    model: str
    version: str
    outputs: str

    def __str__(self) -> str:
        return (
            f"{self.model} {self.version} gives {self.outputs} for each row, but AUC and logloss need one score, or the "
            "probabilities of two classes; publish it again, naming that output alone"
        )


@dataclass(eq=False)
class NanScores(SkewlessError):
    """A model scores some rows as NaN."""

    model: str
    version: str
    rows: int

    def __str__(self) -> str:
        return (
            f"{self.model} {self.version} scores {self.rows:,} of these rows as NaN, which AUC and logloss do not accept: "
            "set a `default` tag on the features that it needs, or fill nulls inside the graph"
        )


@dataclass(eq=False)
class TrainedElsewhere(SkewlessError):
    """A command that trains LightGBM was called for a model that was published from a graph with named inputs."""

    model: str
    version: str
    verb: str

    def __str__(self) -> str:
        return (
            f"`skewless {self.verb}` trains LightGBM on one matrix of numbers, and {self.model} {self.version} is a "
            "graph with named inputs: train it with its own tools, publish it with `skewless publish --onnx "
            "--no-promote`, and try it with `skewless models shadow` or `canary`"
        )


def single_score(bundle: Bundle) -> ScoreFunction:
    """A function that scores rows; it raises NanScores. Raises: NoSingleScore unless exactly one output is of floats, with
    one value per row, or two (the probabilities of two classes, of which the second is the score).
    """
    signature = bundle.signature
    index = single_output(signature)
    if index is None:
        raise NoSingleScore(bundle.manifest.name, bundle.manifest.version, described(signature))

    def score(values: Mapping[ColumnSource, ColumnValues]) -> NDArray[np.floating]:
        output: NDArray[np.floating] = signature.output_arrays(bundle.score(bundle.inputs(values)))[index]
        scores = output[:, -1]  # of two classes the second
        if unknown := int(np.isnan(scores).sum()):
            raise NanScores(bundle.manifest.name, bundle.manifest.version, unknown)
        return scores

    return score


def require_matrix(bundle: Bundle, verb: str) -> None:
    """Refuse a model that is not of one matrix. Raises: TrainedElsewhere."""
    if not isinstance(bundle.signature, MatrixSignature):
        raise TrainedElsewhere(bundle.manifest.name, bundle.manifest.version, verb)
