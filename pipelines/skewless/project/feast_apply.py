"""Feast's `apply` of a feature repository, in a process of its own: checked against the live models and recorded first.

The process imports the definitions under their bare names and changes its working folder, as Feast does. It gets an
`ApplyRequest` as its argument and writes an `ApplyReport` to the file that the request names.

Held by tests/project/test_apply_change.py.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import msgspec
from feast import FeatureStore
from feast.repo_config import load_repo_config
from feast.repo_contents import RepoContents
from feast.repo_operations import _get_repo_contents, apply_total

from skewless.contract.errors import SkewlessError
from skewless.contract.plan import PlanView
from skewless.contract.state_folder import STORE_FILE
from skewless.contract.storage.stored_name import view_name
from skewless.contract.timestamps import MICROSECOND
from skewless.definitions.applied_objects import confirm_newer, confirmed_already, object_digests
from skewless.definitions.compiled_views import CompiledView
from skewless.definitions.data_folder import data_folder
from skewless.definitions.definition_change import DefinitionChange, StoredDefinitions, plan_change
from skewless.definitions.live_reads import LiveRead, live_reads
from skewless.definitions.recorded_views import definition_digest, record_of, with_plan
from skewless.definitions.repo_modules import failure
from skewless.definitions.retention import dropping
from skewless.definitions.stored_names import StoredNames
from skewless.files.durable import write_file
from skewless.project.apply_report import ApplyReport, ApplyRequest
from skewless.project.repo_definitions import desired_views, infer, registered_views
from skewless.runtime.settings import ProjectSettings
from skewless.state.database import StateDatabase
from skewless.state.definition_log import DefinitionLog
from skewless.state.definition_records import AppliedObjects, DefinitionRecord


def main() -> None:
    """Carry out the request in the first argument."""
    request = msgspec.json.decode(sys.argv[1], type=ApplyRequest)
    try:
        report = apply(request)
    except Exception as error:
        # Without Feast's traceback: the line of the definitions, if one took part, and the error.
        raise SystemExit(failure(error, Path(request.repo))) from error
    write_file(Path(request.report), msgspec.json.encode(report), durable=False)


def apply(request: ApplyRequest) -> ApplyReport:
    """Check, record and apply; what is refused, is refused before anything is written. Raises: whatever Feast raises."""
    repo = Path(request.repo)
    os.chdir(repo)
    config = load_repo_config(repo, repo / STORE_FILE)
    contents = _get_repo_contents(repo, config.project, config)
    store = FeatureStore(config=config)
    settings = ProjectSettings.read()
    with ExitStack() as opened:
        try:
            infer(store, contents)
            state = opened.enter_context(closing(StateDatabase(settings.state_url)))
            opened.enter_context(state.definitions_lock(store.project, "apply"))
            log, live = DefinitionLog(state, store.project), live_reads(settings.registry, store.project)
            change = record_change(store, contents, request, log, live)
        except SkewlessError as error:
            return ApplyReport(refused=str(error))
        with dropping(now=request.now), confirmed_already():
            apply_total(config, repo, skip_source_validation=False)
    return ApplyReport(
        retained=[str(view) for view in change.retained],
        going_down=[read.reader for read in change.going_down],
        dropped=sorted({read.view.stored_as for read in change.going_down}),
    )


def record_change(
    store: FeatureStore, contents: RepoContents, request: ApplyRequest, log: DefinitionLog, live: Sequence[LiveRead]
) -> DefinitionChange:
    """Plan the change around what live models read, and record it; nothing is recorded where nothing changes.

    Raises: OlderDefinitions, InvalidPlan, UnsupportedType, StateUnreachable; nothing is recorded then.
    """
    objects, data = object_digests(contents, Path(request.repo)), data_folder(store.config)
    names, history = StoredNames.of_records(log.records()), log.history()
    if live and not request.force:
        confirm_newer(history, objects)
    registered = [(view.stored_by(names.of), defined) for view, defined in registered_views(store, data)]
    by_view = {view_name(view.plan.stored_as): view.plan for view, _ in registered}
    desired = desired_views(store, contents, data)
    change = plan_change(StoredDefinitions(names, by_view, live), [view for view, _ in desired], now=request.now)
    if getattr(store.config.registry, "enable_online_feature_view_versioning", False):
        return DefinitionChange((), (), ())  # Feast stores each version under a name of its own
    at = max([request.at, *(state.applied_at + MICROSECOND for state in history[-1:])])
    earlier = _unrecorded((view for view, _ in registered), names, data, at - 2 * MICROSECOND)
    records = [*earlier, *_changed(change.placed, names, data, at)]
    latest = names.latest | {record.stored_as: record for record in records if record.applied_at < at}
    records += [kept for view in change.retained if (kept := _narrowed(view.view, latest, at - MICROSECOND))]
    same = bool(history) and history[-1].objects == objects
    if records or not same:
        log.write(records, None if same else AppliedObjects(at, request.by, objects))
    return change


def _unrecorded(
    views: Iterable[CompiledView], names: StoredNames, data: Path, at: datetime
) -> Iterator[DefinitionRecord]:
    """Records of registered definitions that have none: they were applied by Feast itself, or by an older version."""
    for view in views:
        if names.recorded(view.plan) is None:
            yield record_of(view, data, at)


def _narrowed(view: PlanView, latest: Mapping[str, DefinitionRecord], at: datetime) -> DefinitionRecord | None:
    """The record of a definition that is kept with fewer features than are recorded; None where it has them all."""
    known = latest[view.stored_as]
    if known.digest == definition_digest(view):
        return None
    return replace(known, digest=definition_digest(view), definition=with_plan(known.definition, view), applied_at=at)


def _changed(views: Iterable[CompiledView], names: StoredNames, data: Path, at: datetime) -> Iterator[DefinitionRecord]:
    """Records of definitions that differ from the latest under their name, if only in table or tags."""
    for view in views:
        record = record_of(view, data, at)
        latest = names.latest.get(view.plan.stored_as)
        if latest is None or (latest.digest, latest.definition) != (record.digest, record.definition):
            yield record
