"""A project on disk: its settings, registry, stores and state, and what it declares of its tables and models. It imports
`definitions`, `online` and what is below them.

What a project's own modules import from here is loaded at its first use, and without Feast.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skewless.project.learner import LabelledRows, LightGbm, TrainingData
    from skewless.project.model import Model, PromotionRule
    from skewless.project.table import SqlQuery, Table
    from skewless.project.windows import Windows

_EXPORTS = {
    "LabelledRows": "skewless.project.learner",
    "LightGbm": "skewless.project.learner",
    "Model": "skewless.project.model",
    "PromotionRule": "skewless.project.model",
    "SqlQuery": "skewless.project.table",
    "Table": "skewless.project.table",
    "TrainingData": "skewless.project.learner",
    "Windows": "skewless.project.windows",
}
__all__ = ["LabelledRows", "LightGbm", "Model", "PromotionRule", "SqlQuery", "Table", "TrainingData", "Windows"]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever is exported
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_EXPORTS[name]), name)
