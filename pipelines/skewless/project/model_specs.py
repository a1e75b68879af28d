"""`models.yaml` beside the definitions: a project's declarations of its models.

models:
  churn:
    service: churn_v1                             # feature service that the model is trained on
    spine: customer_months                        # table of the rows, in the data folder
    label: churned                                # column of the spine to predict, 0 or 1
    windows: {train: 2024-02-01, validate: 2024-09-01, test: 2024-10-01, end: 2025-01-01}   # UTC, each to the next
    parameters: {learning_rate: 0.05}             # of LightGBM

Commands and DAGs take their defaults from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import msgspec

from skewless.contract.errors import SkewlessError
from skewless.contract.timestamps import midnight
from skewless.runtime.errors import did_you_mean

FILE = "models.yaml"
Spec = TypeVar("Spec", bound=msgspec.Struct)


@dataclass(eq=False)
class BadModelSpecs(SkewlessError):
    """`models.yaml` is not valid; `key` is the place, as models.churn.label."""

    path: str
    key: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path} is refused: {f'{self.key}: ' if self.key else ''}{self.reason}"


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
class ModelNotDeclared(SkewlessError):
    """A default is needed that the project does not declare; `instead` is the option to give without it."""

    path: str
    model: str | None
    known: tuple[str, ...]
    instead: str

    def __str__(self) -> str:
        if self.known and self.model is None:
            return f"{self.path} declares the models {', '.join(self.known)}; name one of them, or give {self.instead}"
        nothing = f"no model {self.model!r}" if self.model else "no model"
        others = f", only {', '.join(self.known)}" if self.known else ""
        return (
            f"{self.path} declares {nothing}{others}; write `models: {{NAME: {{service: SERVICE, spine: TABLE, label: "
            f"COLUMN}}}}` there, or give {self.instead}"
        )


@dataclass(eq=False)
class WindowsNotDeclared(SkewlessError):
    """A default window is needed, and the model declares none."""

    path: str
    model: str
    instead: str

    def __str__(self) -> str:
        return (
            f"model {self.model!r} of {self.path} has no windows; write `windows: {{train: 2024-02-01, validate: "
            f"2024-09-01, test: 2024-10-01, end: 2025-01-01}}` there, or give {self.instead}"
        )


class TrainingWindows(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """UTC days at whose midnight a window of event time begins: train [train, validate), validate [validate, test), test
    [test, end).
    """

    train: date
    validate: date
    test: date
    end: date

    def starts(self) -> tuple[datetime, datetime, datetime, datetime]:
        """The four instants, in this order."""
        first, second, third, last = map(midnight, (self.train, self.validate, self.test, self.end))
        return first, second, third, last

    @property
    def lengths(self) -> str:
        """The length of each window, as 212d,30d,92d."""
        days = (self.train, self.validate, self.test, self.end)
        return ",".join(f"{(end - start).days}d" for start, end in pairwise(days))


class ModelSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The declaration of one model."""

    service: str
    spine: str
    label: str
    windows: TrainingWindows | None = None
    parameters: dict[str, bool | int | float | str] = msgspec.field(default_factory=dict)


class _ModelsFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file; each model is parsed on its own, so that errors name it."""

    models: dict[str, object] = msgspec.field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ProjectSpecs:
    """The declarations of the file at `path`; all empty where there is no file."""

    path: Path
    models: Mapping[str, ModelSpec] = field(default_factory=dict)

    def model(self, name: str | None) -> ModelDefaults:
        """The defaults of a model, or of the only one where none is named."""
        return ModelDefaults(self, name)


@dataclass(frozen=True, slots=True)
class ModelDefaults:
    """The declared defaults of a model. A name that is not declared has the defaults of the only declared model: another
    model on the same rows. Methods take the option to give `instead`, for the error where nothing is declared.
    """

    specs: ProjectSpecs
    model: str | None

    def name(self, option: str = "--model") -> str:
        """The model that was named, by `option`, or the only one. Raises: ModelNotNamed."""
        if self.model is None and len(self.specs.models) != 1:
            raise ModelNotNamed(str(self.specs.path), tuple(self.specs.models), option)
        return self.model or next(iter(self.specs.models))

    def spec(self, instead: str) -> ModelSpec:
        """Raises: ModelNotDeclared."""
        return self.specs.models[self._declared(instead)]

    def windows(self, instead: str) -> TrainingWindows:
        """Raises: ModelNotDeclared, WindowsNotDeclared."""
        name = self._declared(instead)
        windows = self.specs.models[name].windows
        if windows is None:
            raise WindowsNotDeclared(str(self.specs.path), name, instead)
        return windows

    @property
    def parameters(self) -> Mapping[str, bool | int | float | str]:
        """The learner's parameters; empty where the model is not declared."""
        try:
            return self.spec("").parameters
        except ModelNotDeclared:
            return {}

    def _declared(self, instead: str) -> str:
        known = self.specs.models
        if self.model is not None and self.model in known:
            return self.model
        if len(known) != 1:
            raise ModelNotDeclared(str(self.specs.path), self.model, tuple(known), instead)
        return next(iter(known))


def read(repo: Path) -> ProjectSpecs:
    """The declarations of a feature repository. Raises: BadModelSpecs."""
    path = repo / FILE
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return ProjectSpecs(path)
    try:
        declared: object = msgspec.yaml.decode(content) or {}
    except msgspec.MsgspecError as error:
        raise BadModelSpecs(str(path), "", f"it is not YAML: {' '.join(str(error).split())}") from error
    file = _parsed(path, "", declared, _ModelsFile)
    models = {name: _model(path, f"models.{name}", model) for name, model in file.models.items()}
    return ProjectSpecs(path, models)


def _model(path: Path, key: str, declared: object) -> ModelSpec:
    spec = _parsed(path, key, declared, ModelSpec)
    if (windows := spec.windows) is not None:
        days = {"train": windows.train, "validate": windows.validate, "test": windows.test, "end": windows.end}
        _ascending(path, f"{key}.windows", **days)
    return spec


def _parsed(path: Path, key: str, declared: object, kind: type[Spec]) -> Spec:
    """`declared` as a `kind`. Raises: BadModelSpecs, which lists the known keys where one is unknown."""
    known = kind.__struct_fields__
    unknown = [str(name) for name in declared if name not in known] if isinstance(declared, dict) else []
    if unknown:
        reason = f"there is no such key; {did_you_mean(unknown[0], known)}the keys here are {', '.join(known)}"
        raise BadModelSpecs(str(path), f"{key}.{unknown[0]}".lstrip("."), reason)
    try:
        return msgspec.convert(declared, kind)
    except msgspec.ValidationError as error:
        reason, _, place = str(error).partition(" - at `$")
        raise BadModelSpecs(str(path), (key + place.rstrip("`")).lstrip("."), reason) from None


def _ascending(path: Path, key: str, **days: date) -> None:
    """Raises: BadModelSpecs."""
    for (earlier, start), (later, end) in pairwise(days.items()):
        if start >= end:
            raise BadModelSpecs(str(path), f"{key}.{later}", f"{end} is not after {earlier}, {start}")
