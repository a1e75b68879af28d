"""Brings a trained model to ONNX, whatever trained it: LightGBM, XGBoost, scikit-learn, or a graph that is ready.

Converters of a library are imported only for its models.

Held by tests/model/training/test_learned_model.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from skewless.contract.errors import SkewlessError
from skewless.model.conversion import lightgbm_export
from skewless.model.conversion.graph_bytes import graph_bytes

ColumnKind = Literal["float32", "int64", "string"]
Matrix = NDArray[np.float32]
OwnScores = Callable[[pd.DataFrame], NDArray[np.floating]]
_TAKEN = (
    "a LightGBM, XGBoost or scikit-learn model (estimator, pipeline or booster), an onnx.ModelProto, or the bytes of an ONNX "
    "graph"
)
LIGHTGBM_FILE, XGBOOST_FILE = "_model.lightgbm.txt", "_model.xgboost.ubj"


@dataclass(eq=False)
class NotConvertible(SkewlessError):
    """A trained model that cannot be brought to ONNX."""

    kind: str
    reason: str

    def __str__(self) -> str:
        return f"the trained model, a {self.kind}, cannot be brought to ONNX: {self.reason}"


@dataclass(frozen=True, slots=True)
class ConvertedModel:
    """A model as an ONNX graph; its file in the format of its library, by name, where that has one besides pickle; and its
    own scores of a frame of features, None for a graph that was ready.
    """

    graph: bytes
    native: tuple[str, bytes] | None = None
    scores: OwnScores | None = None


def convert_model(model: Any, columns: Sequence[tuple[str, ColumnKind]]) -> ConvertedModel:  # noqa: ANN401 - of any library
    """Convert a model that was trained on these columns: on the matrix of all of them, or on a frame of some.

    Raises: NotConvertible.
    """
    if isinstance(model, bytes):
        return ConvertedModel(model)
    kind = f"{type(model).__module__}.{type(model).__qualname__}"
    convert = _CONVERTERS.get(kind.partition(".")[0])
    if convert is None and any(base.__module__.startswith("sklearn.") for base in type(model).__mro__):
        convert = _sklearn
    if convert is None:
        raise NotConvertible(kind, f"return {_TAKEN}")
    try:
        return convert(model, columns)
    except SkewlessError:
        raise
    except Exception as error:  # each converter raises its own kinds
        raise NotConvertible(kind, f"{type(error).__name__}: {' '.join(str(error).split())[:400]}") from error


def _onnx(model: Any, _: Sequence[tuple[str, ColumnKind]]) -> ConvertedModel:  # noqa: ANN401
    return ConvertedModel(model.SerializeToString())


def _lightgbm(model: Any, columns: Sequence[tuple[str, ColumnKind]]) -> ConvertedModel:  # noqa: ANN401
    booster = getattr(model, "booster_", model)
    names = _numbers(model, columns, booster.num_feature())
    native = LIGHTGBM_FILE, booster.model_to_string(num_iteration=booster.best_iteration).encode()
    return ConvertedModel(
        lightgbm_export.convert(booster, len(names)),
        native,
        lambda frame: np.asarray(booster.predict(_matrix(frame, names))),
    )


def _xgboost(model: Any, columns: Sequence[tuple[str, ColumnKind]]) -> ConvertedModel:  # noqa: ANN401
    import xgboost
    from onnxmltools import convert_xgboost
    from onnxmltools.convert.common.data_types import FloatTensorType

    booster = model.get_booster() if hasattr(model, "get_booster") else model
    names = _numbers(model, columns, booster.num_features())
    plain = xgboost.Booster()
    plain.load_model(booster.save_raw("ubj"))
    plain.feature_names = None  # the converter takes only names of its own
    target = model
    if hasattr(model, "get_booster"):
        target = type(model)()
        target.load_model(plain.save_raw("ubj"))
    graph = convert_xgboost(target, initial_types=[("input", FloatTensorType([None, len(names)]))])

    best = booster.attr("best_iteration")
    rounds = (0, int(best) + 1) if best is not None else (0, 0)  # (0, 0): all

    def scores(frame: pd.DataFrame) -> NDArray[np.floating]:
        return np.asarray(plain.predict(xgboost.DMatrix(_matrix(frame, names)), iteration_range=rounds))

    return ConvertedModel(graph_bytes(graph), (XGBOOST_FILE, bytes(booster.save_raw("ubj"))), scores)


def _sklearn(model: Any, columns: Sequence[tuple[str, ColumnKind]]) -> ConvertedModel:  # noqa: ANN401
    named = getattr(model, "feature_names_in_", None)
    kinds = dict(columns)
    names = list(kinds) if named is None else [str(name) for name in named]
    _check_names(model, names, kinds, getattr(model, "n_features_in_", len(names)))
    matrix = all(kinds[name] == "float32" for name in names) and names == list(kinds)

    def scores(frame: pd.DataFrame) -> NDArray[np.floating]:
        rows = _matrix(frame, names) if named is None else frame[names]
        return np.asarray(model.predict_proba(rows)[:, 1] if hasattr(model, "predict_proba") else model.predict(rows))

    if named is None and not matrix and any(kind == "string" for kind in kinds.values()):
        raise NotConvertible(
            _kind(model), "it was fitted on one matrix, and a feature is text; fit it on `to_pandas()`"
        )
    if named is None or matrix:
        try:
            return ConvertedModel(_skl2onnx(model, [("input", "float32", len(names))]), None, scores)
        except Exception:  # a pipeline that chooses columns by name takes no matrix
            if named is None:
                raise
    return ConvertedModel(_skl2onnx(model, [(name, kinds[name], 1) for name in names]), None, scores)


def _skl2onnx(model: Any, inputs: Sequence[tuple[str, ColumnKind, int]]) -> bytes:  # noqa: ANN401
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType, Int64TensorType, StringTensorType
    from sklearn.base import is_classifier

    types = {"float32": FloatTensorType, "int64": Int64TensorType, "string": StringTensorType}
    options = {"zipmap": False} if is_classifier(model) else None
    graph = to_onnx(
        model,
        initial_types=[(name, types[kind]([None, width])) for name, kind, width in inputs],
        options=options,
        name="model",  # the default is random, and equal models should be equal bytes
    )
    return graph_bytes(graph)


def _numbers(model: Any, columns: Sequence[tuple[str, ColumnKind]], fitted: int) -> list[str]:  # noqa: ANN401
    """The names of all columns, which are numbers. Raises: NotConvertible."""
    kinds = dict(columns)
    _check_names(model, list(kinds), kinds, fitted)
    if texts := [name for name, kind in kinds.items() if kind == "string"]:
        raise NotConvertible(_kind(model), f"it takes one matrix of numbers, and the feature {texts[0]!r} is text")
    return list(kinds)


def _check_names(model: Any, names: Sequence[str], kinds: dict[str, ColumnKind], fitted: int) -> None:  # noqa: ANN401
    """Raises: NotConvertible."""
    if unknown := [name for name in names if name not in kinds]:
        raise NotConvertible(_kind(model), f"it was fitted on {unknown[0]!r}, which is none of {', '.join(kinds)}")
    if fitted != len(names):
        raise NotConvertible(
            _kind(model),
            f"it was fitted on {fitted} columns and the feature service has {len(names)}; fit it on all of them",
        )


def _matrix(frame: pd.DataFrame, names: Sequence[str]) -> Matrix:
    return frame[list(names)].to_numpy(np.float32)


def _kind(model: object) -> str:
    return f"{type(model).__module__}.{type(model).__qualname__}"


_CONVERTERS: dict[str, Callable[[Any, Sequence[tuple[str, ColumnKind]]], ConvertedModel]] = {
    "lightgbm": _lightgbm,
    "onnx": _onnx,
    "xgboost": _xgboost,
}
