"""Trains a model by a project's own function, and measures the ONNX graph that it becomes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from skewless.contract.errors import SkewlessError
from skewless.contract.model.bundle import open_model
from skewless.definitions import repo_modules
from skewless.model.conversion import onnx_import
from skewless.model.conversion.model_outputs import described, single_output
from skewless.model.conversion.onnx_import import ImportOptions
from skewless.model.conversion.trained_models import ConvertedModel, convert_model
from skewless.model.training.training_rows import column_kinds, input_frame
from skewless.model.training.training_set import TrainingSet
from skewless.project.learner import LabelledRows, LearnerFunction, TrainingData, learner_name

_NEAR, _FAR = 1e-5, 1e-3
_FEW = 0.01
"""Rounded to float32, a threshold of a tree may send a row the other way: of at most so many rows that is accepted."""


@dataclass(eq=False)
class LearnerFailed(SkewlessError):
    """A project's function raised an error, or what it returned cannot be used."""

    learner: str
    reason: str

    def __str__(self) -> str:
        return f"the learner {self.learner} of feature_repo/models.py failed: {self.reason}"


@dataclass(frozen=True, slots=True)
class LearnedModel:
    """A trained model as ONNX, and its scores of the test rows. `gap` is the greatest difference from the scores of the
    model itself, on `apart` rows more than 1e-5.
    """

    converted: ConvertedModel
    scores: NDArray[np.floating]
    gap: float = 0.0
    apart: int = 0


def learn(function: LearnerFunction, training_set: TrainingSet, data: TrainingData, test: LabelledRows) -> LearnedModel:
    """Call the function, bring its model to ONNX, and score the test rows with it.

    Raises: LearnerFailed, NotConvertible, ModelMismatch, InvalidPlan.
    """
    name = learner_name(function)
    try:
        model = function(data)
    except SkewlessError:
        raise
    except Exception as error:  # whatever the project's function raises
        home = Path(getattr(getattr(function, "__code__", None), "co_filename", __file__)).parent
        raise LearnerFailed(name, repo_modules.failure(error, home)) from error
    converted = convert_model(model, column_kinds(training_set.plan))
    scores = graph_scores(converted.graph, training_set, test, name)
    if converted.scores is None:
        return LearnedModel(converted, scores)
    distances = np.abs(converted.scores(input_frame(training_set, test)) - scores)
    if (distances > _FAR).mean() > _FEW:
        reason = f"of {len(test):,} test rows {(distances > _FAR).sum():,} get another score by more than {_FAR:g}"
        raise LearnerFailed(name, f"its model and the ONNX graph that it became do not agree: {reason}")
    return LearnedModel(converted, scores, float(distances.max(initial=0.0)), int((distances > _NEAR).sum()))


def graph_scores(graph: bytes, training_set: TrainingSet, rows: LabelledRows, name: str) -> NDArray[np.floating]:
    """The single score of each row by an ONNX graph.

    Raises: LearnerFailed where the graph gives no single score, or NaN; ModelMismatch, InvalidPlan.
    """
    plan, values = training_set.plan, training_set.values(rows.table)
    imported = onnx_import.read(
        graph, plan, ImportOptions(), lambda signature: signature.assemble(training_set.assembler, values)
    )
    model = open_model(plan, graph, imported.output, imported.signature)
    index = single_output(model.signature)
    if index is None:
        given = described(model.signature)
        raise LearnerFailed(
            name, f"its model gives {given} for each row; AUC and logloss need one score, or two classes"
        )
    outputs = model.signature.output_arrays(model.score(model.signature.assemble(training_set.assembler, values)))
    scores: NDArray[np.floating] = outputs[index][:, -1]
    if unknown := int(np.isnan(scores).sum()):
        raise LearnerFailed(
            name,
            f"its model scores {unknown:,} of {len(rows):,} test rows as NaN: fill nulls inside the model, or set a `default` "
            "tag on the features",
        )
    return scores
