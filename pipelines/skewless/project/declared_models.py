"""The models that a project declares in `feature_repo/models.py`, and the defaults that commands and DAGs take from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from types import ModuleType

from skewless.contract.errors import SkewlessError
from skewless.definitions import repo_modules
from skewless.definitions.repo_modules import RepoModuleFailed
from skewless.project.learner import Learner, LightGbm
from skewless.project.model import LabelColumn, Model, PromotionRule
from skewless.project.windows import TimeSplit, Windows
from skewless.runtime.errors import did_you_mean
from skewless.runtime.store_file import FeatureRepoMissing, require_definitions

MODULE = "models"
FILE = f"{MODULE}.py"
EXAMPLE = "Model(name='churn', service='churn_v1', spine='customer_months', label='churned', label_known_after=...)"


@dataclass(eq=False)
class BadModels(SkewlessError):
    """`models.py` cannot be used."""

    path: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path} is refused: {self.reason}"


@dataclass(eq=False)
class ModelNotNamed(SkewlessError):
    """No model was named by `option`, and the project does not declare exactly one."""

    path: str
    known: tuple[str, ...]
    option: str

    def __str__(self) -> str:
        several = f"several: {', '.join(self.known)}" if self.known else "none"
        return f"no model was named, and {self.path} declares {several}; give {self.option}"


@dataclass(eq=False)
class NoModelOfService(SkewlessError):
    """A feature service was named, no model was, and not exactly one declared model is trained on that service."""

    path: str
    service: str
    services: tuple[tuple[str, str], ...]
    option: str

    def __str__(self) -> str:
        own = [model for model, service in self.services if service == self.service]
        if own:
            return (
                f"feature service {self.service!r} is of several models of {self.path}: {', '.join(own)}; give "
                f"{self.option}"
            )
        listed = ", ".join(f"{model} ({service})" for model, service in self.services) or "none"
        return (
            f"no model of {self.path} is trained on feature service {self.service!r}; it declares {listed}; name the "
            f"model with {self.option}, or declare `Model(name=..., service={self.service!r}, ...)` there"
        )


@dataclass(eq=False)
class ModelNotDeclared(SkewlessError):
    """A default is needed that the project does not declare; `instead` is the option to give without it."""

    path: str
    model: str | None
    known: tuple[str, ...]
    instead: str
    option: str = "--model"

    def __str__(self) -> str:
        if self.known and self.model is None:
            return (
                f"{self.path} declares the models {', '.join(self.known)}; name one of them with {self.option}, or give "
                f"{self.instead}"
            )
        nothing = f"no model {self.model!r}" if self.model else "no model"
        others = f", only {', '.join(self.known)}" if self.known else ""
        meant = did_you_mean(self.model, self.known) if self.model else ""
        return f"{self.path} declares {nothing}{others}; {meant}write `{EXAMPLE}` there, or give {self.instead}"


@dataclass(eq=False)
class WindowsNotDeclared(SkewlessError):
    """A default window is needed, and the model declares none."""

    path: str
    model: str
    instead: str

    def __str__(self) -> str:
        return (
            f"model {self.model!r} of {self.path} has no windows; write `windows=Windows(train=timedelta(days=180), "
            f"validate=timedelta(days=30), test=timedelta(days=30))` there, or give {self.instead}"
        )


@dataclass(frozen=True, slots=True)
class ProjectModels:
    """The models that the file at `path` declares, by name; none where there is no file."""

    path: Path
    models: Mapping[str, Model] = field(default_factory=dict)

    def choose(self, name: str | None, service: str | None = None, option: str = "--model") -> ModelDefaults:
        """The defaults of the named model; without a name those of the only model (of the named feature service). `option`
        is what names a model, for messages.
        """
        return ModelDefaults(self, name, service, option)


@dataclass(frozen=True, slots=True)
class ModelDefaults:
    """The declared defaults of a model: of the one that was named, else of the only one; `service` is the feature service
    that was named. A name that is not declared has no defaults. Methods take the option to give `instead`, for the error
    where nothing is declared.
    """

    project: ProjectModels
    model: str | None
    service: str | None = None
    option: str = "--model"

    def name(self, option: str | None = None) -> str:
        """The model that was named, by `option`, or the only one.

        Raises: FeatureRepoMissing, ModelNotNamed, NoModelOfService.
        """
        option = option or self.option
        if self.model is not None:
            return self.model
        known, path = self._known(), str(self.project.path)
        if self.service is not None:
            own = self._of_service(self.service)
            if len(own) == 1:
                return own[0]
            services = tuple((name, model.service) for name, model in known.items())
            raise NoModelOfService(path, self.service, services, option)
        if len(known) != 1:
            raise ModelNotNamed(path, tuple(known), option)
        return next(iter(known))

    def spec(self, instead: str) -> Model:
        """The declaration. Raises: FeatureRepoMissing, ModelNotDeclared, NoModelOfService."""
        known, path = self._known(), str(self.project.path)
        if self.model is None and (not known or (self.service is None and len(known) > 1)):
            raise ModelNotDeclared(path, None, tuple(known), instead, self.option)
        name = self.name(f"{self.option}, or {instead}")
        if name not in known:
            raise ModelNotDeclared(path, name, tuple(known), instead, self.option)
        return known[name]

    def windows(self, instead: str) -> Windows:
        """Raises: ModelNotDeclared, NoModelOfService, WindowsNotDeclared."""
        spec = self.spec(instead)
        if spec.windows is None:
            raise WindowsNotDeclared(str(self.project.path), spec.name, instead)
        return spec.windows

    def split(self, instead: str, now: datetime, end: datetime | None = None) -> TimeSplit:
        """The declared windows. Fixed ones are as declared, whatever the `end`; others end there, by default when the UTC
        day of `now` began. Raises: as `windows`.
        """
        windows = self.windows(instead)
        return windows.split(now, self.gap) if end is None or windows.end else windows.until(end, self.gap)

    def label(self, column: str | None, instead: str = "--label") -> LabelColumn:
        """The label: the declared one, or another `column`, whose value counts as known at the row's own time.

        Raises: ModelNotDeclared, NoModelOfService.
        """
        if column is None:
            return self.spec(instead).label_column
        spec = self._optional()
        return spec.label_column if spec is not None and spec.label == column else LabelColumn(column)

    def training_set(self, service: str) -> str:
        """The folder of the training set on a feature service: the service's name, with the model's where several models
        are declared on the service.
        """
        own = self._of_service(service)
        return f"{service}.{self.model}" if len(own) > 1 and self.model in own else service

    @property
    def fixed_end(self) -> datetime | None:
        """When the declared windows end, where they are fixed in time."""
        spec = self._optional()
        return spec.windows.end if spec is not None and spec.windows is not None else None

    @property
    def gap(self) -> timedelta:
        """How long after a row's time its label is known, where that is declared as a duration."""
        spec = self._optional()
        return (spec.label_known_after if spec else None) or timedelta(0)

    @property
    def known_at(self) -> str | None:
        """The column that says when the declared label is known, where there is one."""
        spec = self._optional()
        return spec.label_known_at if spec else None

    @property
    def learner(self) -> Learner:
        """The declared learner; LightGBM with its defaults where the model is not declared."""
        spec = self._optional()
        return spec.learner if spec else LightGbm()

    @property
    def promotion(self) -> PromotionRule:
        """The declared rule, or the default one."""
        spec = self._optional()
        return spec.promotion if spec else PromotionRule()

    def _of_service(self, service: str) -> list[str]:
        return [name for name, model in self.project.models.items() if model.service == service]

    def _optional(self) -> Model | None:
        try:
            return self.spec("")
        except (FeatureRepoMissing, ModelNotDeclared, NoModelOfService):
            return None

    def _known(self) -> Mapping[str, Model]:
        """Raises: FeatureRepoMissing, where none is declared since there is no project."""
        if not self.project.models:
            require_definitions(self.project.path.parent)
        return self.project.models


def read(repo: Path) -> ProjectModels:
    """The models of a feature repository. Raises: BadModels."""
    path = repo / FILE
    try:
        module = repo_modules.load(repo, MODULE)
    except RepoModuleFailed as error:
        raise BadModels(str(path), error.reason) from error
    except SkewlessError as error:
        raise BadModels(str(path), repo_modules.failure(error, repo)) from error
    return ProjectModels(path, {} if module is None else _models(path, module))


def _models(path: Path, module: ModuleType) -> dict[str, Model]:
    """The models at the top level of a module by name, in the order of the file. Raises: BadModels."""
    models: dict[str, Model] = {}
    for value in vars(module).values():
        if not isinstance(value, Model):
            continue
        if models.setdefault(value.name, value) is not value:
            raise BadModels(str(path), f"it declares two models of the name {value.name!r}; rename one of them")
    return models
