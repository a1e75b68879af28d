"""Loads the project's own ingest function, which returns its tables, by path from the feature repository.

Modules there import one another by relative imports; they may import `skewless` and whatever the project installs.
"""

from __future__ import annotations

import hashlib
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module, invalidate_caches
from pathlib import Path
from types import ModuleType

from skewless.contract.errors import SkewlessError
from skewless.offline.tables.ingest import IngestTable
from skewless.project.model_specs import ProjectSpecs

IngestFunction = Callable[..., Sequence[IngestTable]]
"""Called without arguments; parameters with defaults are the project's own."""


@dataclass(eq=False)
class IngestNotDeclared(SkewlessError):
    """The project declares no function that fills its tables."""

    path: str

    def __str__(self) -> str:
        return (
            f"{self.path} declares no ingest function; write `ingest: MODULE:FUNCTION` there, as "
            "tables.orders:tables for the function `tables` of tables/orders.py beside it, which returns a list of "
            "skewless.offline.tables.ingest.IngestTable"
        )


@dataclass(eq=False)
class BadIngestFunction(SkewlessError):
    """The ingest function cannot be used; `name` is as the file at `path` spells it."""

    path: str
    name: str
    reason: str

    def __str__(self) -> str:
        return f"`ingest: {self.name}` of {self.path} cannot be used: {self.reason}"


def load(specs: ProjectSpecs) -> IngestFunction:
    """The function that `ingest` of models.yaml names. Raises: IngestNotDeclared, BadIngestFunction."""
    repo, name = specs.path.parent, specs.ingest
    if name is None:
        raise IngestNotDeclared(str(specs.path))
    module, _, attribute = name.partition(":")
    file = repo.joinpath(*module.split(".")).with_suffix(".py")
    if not file.is_file():
        raise BadIngestFunction(str(specs.path), name, f"there is no {file}")
    package = _package(repo)
    try:
        loaded = import_module(f"{package}.{module}")
    except SkewlessError:
        raise
    except Exception as error:  # whatever the project's module raises
        raise BadIngestFunction(
            str(specs.path), name, f"{_place(error, repo)}{type(error).__name__}: {error}"
        ) from error
    function = getattr(loaded, attribute, None)
    if not callable(function):
        raise BadIngestFunction(str(specs.path), name, f"{file} has no function {attribute!r}")
    typed: IngestFunction = function
    return typed


def tables(specs: ProjectSpecs) -> Sequence[IngestTable]:
    """The tables that the function returns. Raises: IngestNotDeclared, BadIngestFunction, and what the function raises."""
    result: object = load(specs)()
    if not isinstance(result, Sequence) or not all(isinstance(table, IngestTable) for table in result):
        raise BadIngestFunction(
            str(specs.path),
            str(specs.ingest),
            "it does not return a list of skewless.offline.tables.ingest.IngestTable",
        )
    return result


def _package(repo: Path) -> str:
    """A new package for the folder, replacing that of an earlier call: its modules shadow no others and are read again."""
    prefix = f"_skewless_project_{hashlib.sha256(str(repo.resolve()).encode()).hexdigest()[:12]}"
    for name in [name for name in sys.modules if name.partition(".")[0] == prefix]:
        del sys.modules[name]
    invalidate_caches()
    package = ModuleType(prefix)
    package.__path__ = [str(repo.resolve())]
    sys.modules[prefix] = package
    return prefix


def _place(error: Exception, repo: Path) -> str:
    """Where in the project's files an error was raised, with a colon after it."""
    frames = [
        frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith(str(repo.resolve()))
    ]
    return f"{frames[-1].filename}, line {frames[-1].lineno}: " if frames else ""
