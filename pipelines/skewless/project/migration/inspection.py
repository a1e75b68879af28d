"""Looks at a Feast repository on our stores without changing it, in a process of its own: do the definitions apply, and where
would the answers differ?

The process imports the definitions under their bare names and changes its working folder, as Feast does. Its registry is a
new one that is thrown away.

Held by tests/project/migration/test_migration.py.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import duckdb
import msgspec
import yaml
from feast import FeatureStore
from feast.repo_config import load_repo_config
from feast.repo_operations import _get_repo_contents

from skewless.contract.errors import SkewlessError
from skewless.definitions.compiled_views import CompiledView
from skewless.definitions.data_folder import data_folder
from skewless.definitions.repo_modules import failure
from skewless.files.durable import write_file
from skewless.project.migration.view_counts import OnDemandInputs, ViewCounts, count
from skewless.project.repo_definitions import desired_views, infer


class InspectionRequest(msgspec.Struct, frozen=True):
    """Of which repository, with which feature_store.yaml (its values), as of when; `report` is the file for the answer."""

    repo: str
    options: dict[str, object]
    at: datetime
    report: str


class Inspection(msgspec.Struct, frozen=True):
    """The counts of each view, the views that could not be counted and why, the on-demand views, and why the definitions do not
    apply, if so.
    """

    project: str
    views: list[ViewCounts] = []
    uncounted: list[str] = []
    on_demand: list[OnDemandInputs] = []
    refused: str | None = None


@dataclass(eq=False)
class DefinitionsFailed(SkewlessError):
    """The definitions cannot be imported, or Feast refuses them."""

    reason: str

    def __str__(self) -> str:
        return self.reason


def main() -> None:
    """Carry out the request in the first argument."""
    request = msgspec.json.decode(sys.argv[1], type=InspectionRequest)
    report = Path(request.report)
    write_file(report, msgspec.json.encode(inspect(request, report.parent)), durable=False)


def inspect(request: InspectionRequest, folder: Path) -> Inspection:
    """Import, check and count; `folder` takes the passing files."""
    repo, project = Path(request.repo), str(request.options["project"])
    os.chdir(repo)
    try:
        views, on_demand = _views(repo, project, _store_file(request.options, folder))
    except SkewlessError as error:
        return Inspection(project, refused=str(error))
    return msgspec.structs.replace(_counted(project, views, request.at), on_demand=on_demand)


def _views(repo: Path, project: str, store_file: Path) -> tuple[list[CompiledView], list[OnDemandInputs]]:
    """The online feature views, and the on-demand views. Raises: DefinitionsFailed, and what `apply` refuses."""
    try:
        store = FeatureStore(config=load_repo_config(repo, store_file))
        contents = _get_repo_contents(repo, project, store.config)
        infer(store, contents)
        on_demand = [
            OnDemandInputs(
                view.name, sum(len(source.features) for source in view.source_feature_view_projections.values())
            )
            for view in contents.on_demand_feature_views
            if view.source_feature_view_projections
        ]
        return [view for view, _ in desired_views(store, contents, data_folder(store.config))], on_demand
    except SkewlessError:
        raise
    except (Exception, SystemExit) as error:  # whatever the definitions and Feast raise
        raise DefinitionsFailed(failure(error, repo)) from error


def _counted(project: str, views: list[CompiledView], at: datetime) -> Inspection:
    counted, uncounted = [], []
    for view in views:
        if view.source.remote is not None:
            uncounted.append(f"{view.plan.name}: its table is in object storage, {view.source.remote.url}")
            continue
        try:
            counted.append(count(view.plan, view.source, at))
        except SkewlessError as error:
            uncounted.append(f"{view.plan.name}: {error}")
        except duckdb.Error as error:
            uncounted.append(f"{view.plan.name}: DuckDB cannot count {view.source.path} ({type(error).__name__})")
    return Inspection(project, counted, uncounted)


def _store_file(options: Mapping[str, object], folder: Path) -> Path:
    """A feature_store.yaml of these options, with a registry in the folder."""
    file = folder / "feature_store.yaml"
    file.write_text(yaml.safe_dump({**options, "registry": str(folder / "registry.db")}), encoding="utf-8")
    return file
