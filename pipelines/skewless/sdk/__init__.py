"""The Python API, for notebooks and programs; the command line is a thin shell over it. It imports `erasure` and what is
below it. Everything is loaded at its first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skewless.sdk.arguments import BadArgument, BadInstant
    from skewless.sdk.definitions import AppliedProject, ProjectStatus
    from skewless.sdk.erasing import ErasedSubject
    from skewless.sdk.housekeeping import HousekeepingVerbs
    from skewless.sdk.online import MaterializedViews, RemovedRows, StoreComparison
    from skewless.sdk.predictions import ModelNotServable, PredictionDenied, Predictions, PredictServerUnreachable
    from skewless.sdk.project import Project
    from skewless.sdk.projects import BuiltProject, FeastDifferences, ImportedFeastRows, MovedRepository
    from skewless.sdk.publishing import PublishedVersion
    from skewless.sdk.rollouts import (
        ChangedRollout,
        DeletedVersions,
        ModelRollouts,
        ModelVersions,
        PublishedModels,
        RolloutHistory,
    )
    from skewless.sdk.scoring import RetrainedModel, ScoredRows
    from skewless.sdk.served import AuditReport, DriftReport, WhatIfReport
    from skewless.sdk.session import ProjectNotFound
    from skewless.sdk.store_verbs import OnlineStoreVerbs, RunList
    from skewless.sdk.tables import CompactedTables, FilledTables, QualityReport
    from skewless.sdk.training import BuiltTrainingSet, FittedModel, JoinExplanation

_EXPORTS = {
    "AppliedProject": "skewless.sdk.definitions",
    "AuditReport": "skewless.sdk.served",
    "BadArgument": "skewless.sdk.arguments",
    "BadInstant": "skewless.sdk.arguments",
    "BuiltProject": "skewless.sdk.projects",
    "BuiltTrainingSet": "skewless.sdk.training",
    "ChangedRollout": "skewless.sdk.rollouts",
    "CompactedTables": "skewless.sdk.tables",
    "DeletedVersions": "skewless.sdk.rollouts",
    "DriftReport": "skewless.sdk.served",
    "ErasedSubject": "skewless.sdk.erasing",
    "FeastDifferences": "skewless.sdk.projects",
    "FilledTables": "skewless.sdk.tables",
    "FittedModel": "skewless.sdk.training",
    "HousekeepingVerbs": "skewless.sdk.housekeeping",
    "JoinExplanation": "skewless.sdk.training",
    "ImportedFeastRows": "skewless.sdk.projects",
    "MaterializedViews": "skewless.sdk.online",
    "ModelNotServable": "skewless.sdk.predictions",
    "ModelRollouts": "skewless.sdk.rollouts",
    "ModelVersions": "skewless.sdk.rollouts",
    "MovedRepository": "skewless.sdk.projects",
    "OnlineStoreVerbs": "skewless.sdk.store_verbs",
    "PredictServerUnreachable": "skewless.sdk.predictions",
    "PredictionDenied": "skewless.sdk.predictions",
    "Predictions": "skewless.sdk.predictions",
    "Project": "skewless.sdk.project",
    "ProjectNotFound": "skewless.sdk.session",
    "ProjectStatus": "skewless.sdk.definitions",
    "PublishedModels": "skewless.sdk.rollouts",
    "PublishedVersion": "skewless.sdk.publishing",
    "QualityReport": "skewless.sdk.tables",
    "RemovedRows": "skewless.sdk.online",
    "RetrainedModel": "skewless.sdk.scoring",
    "RolloutHistory": "skewless.sdk.rollouts",
    "RunList": "skewless.sdk.store_verbs",
    "ScoredRows": "skewless.sdk.scoring",
    "StoreComparison": "skewless.sdk.online",
    "WhatIfReport": "skewless.sdk.served",
}
__all__ = [
    "AppliedProject",
    "AuditReport",
    "BadArgument",
    "BadInstant",
    "BuiltProject",
    "BuiltTrainingSet",
    "ChangedRollout",
    "CompactedTables",
    "DeletedVersions",
    "DriftReport",
    "ErasedSubject",
    "FeastDifferences",
    "FilledTables",
    "FittedModel",
    "HousekeepingVerbs",
    "ImportedFeastRows",
    "JoinExplanation",
    "MaterializedViews",
    "ModelNotServable",
    "ModelRollouts",
    "ModelVersions",
    "MovedRepository",
    "OnlineStoreVerbs",
    "PredictServerUnreachable",
    "PredictionDenied",
    "Predictions",
    "Project",
    "ProjectNotFound",
    "ProjectStatus",
    "PublishedModels",
    "PublishedVersion",
    "QualityReport",
    "RemovedRows",
    "RetrainedModel",
    "RolloutHistory",
    "RunList",
    "ScoredRows",
    "StoreComparison",
    "WhatIfReport",
]


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_EXPORTS[name]), name)
