"""The one score a row of a model, whatever its form: what AUC, logloss and a contest are about."""

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

Scored = Callable[[Mapping[ColumnSource, ColumnValues]], NDArray[np.floating]]
"""From the values that a plan names to a score a row."""


@dataclass(eq=False)
class NoSingleScore(SkewlessError):
    """A model tells of a row what labels of 0 and 1 cannot be held against."""

    model: str
    version: str
    told: str

    def __str__(self) -> str:
        return (
            f"{self.model} {self.version} tells {self.told} of each row, and AUC and logloss are of one score, or the "
            "probabilities of two classes; publish it with `--output` naming that"
        )


@dataclass(eq=False)
class NanScores(SkewlessError):
    """A model scores some rows as NaN."""

    model: str
    version: str
    rows: int

    def __str__(self) -> str:
        return (
            f"{self.model} {self.version} scores {self.rows:,} of these rows as NaN, which AUC and logloss cannot take: "
            "give the features that it may not miss a `default` tag, or fill nulls inside the graph"
        )


@dataclass(eq=False)
class TrainedElsewhere(SkewlessError):
    """A verb that trains LightGBM met a model that was published from a graph with named inputs."""

    model: str
    version: str
    verb: str

    def __str__(self) -> str:
        return (
            f"`skewless {self.verb}` trains LightGBM on one matrix of numbers, and {self.model} {self.version} is a "
            "graph with named inputs: train it where it was trained, bring it by `skewless publish --onnx "
            "--no-promote`, and try it by `skewless models shadow` or `canary`"
        )


def single_score(bundle: Bundle) -> Scored:
    """How to score rows, which then raises NanScores. Raises: NoSingleScore where not one output alone is a score, of
    one number or two.
    """
    signature = bundle.signature
    places = [place for place, group in enumerate(signature.outputs) if group.kind in ("float32", "float64")]
    if len(places) != 1 or len(signature.outputs[places[0]].names) > 2:
        told = ", ".join(f"{group.column} ({len(group.names)} x {group.kind})" for group in signature.outputs)
        raise NoSingleScore(bundle.manifest.name, bundle.manifest.version, told)
    place = places[0]

    def scored(values: Mapping[ColumnSource, ColumnValues]) -> NDArray[np.floating]:
        told: NDArray[np.floating] = signature.output_arrays(bundle.score(bundle.inputs(values)))[place]
        scores = told[:, -1]  # of two classes the second
        if unknown := int(np.isnan(scores).sum()):
            raise NanScores(bundle.manifest.name, bundle.manifest.version, unknown)
        return scores

    return scored


def require_matrix(bundle: Bundle, verb: str) -> None:
    """Raises: TrainedElsewhere."""
    if not isinstance(bundle.signature, MatrixSignature):
        raise TrainedElsewhere(bundle.manifest.name, bundle.manifest.version, verb)
