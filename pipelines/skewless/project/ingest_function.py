"""Loads the project's own ingest function, which returns its tables, by path from the feature repository.

Modules there import one another by bare name or by relative imports; they may import `skewless` and whatever the project
installs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from skewless.contract.errors import SkewlessError
from skewless.definitions import repo_modules
from skewless.definitions.repo_modules import RepoModuleFailed
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
    try:
        loaded = repo_modules.load(repo, module)
    except RepoModuleFailed as error:
        raise BadIngestFunction(str(specs.path), name, error.reason) from error
    if loaded is None:
        raise BadIngestFunction(str(specs.path), name, f"there is no {file}")
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
