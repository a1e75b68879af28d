"""Feast's own `apply` of definitions that were applied before and superseded since, as an older checkout has them: refused where a
model is live, as `skewless apply` refuses them. What Feast applies is recorded, so that it counts as newer afterwards.

`skewless apply` checks and records by itself, and says so by `confirmed_already`. Feast infers definitions between the begin of
an apply and its first write, so they are confirmed there, and recorded after it.

Held by tests/project/test_feast_beside.py.
"""

from __future__ import annotations

import getpass
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from feast import Entity, FeatureService, FeatureStore, FeatureView, OnDemandFeatureView
from feast.repo_contents import RepoContents
from feast.stream_feature_view import StreamFeatureView
from skewless.contract.timestamps import MICROSECOND
from skewless.definitions.applied_objects import confirm_newer, confirmed, object_digests, object_name
from skewless.definitions.data_folder import settings_of
from skewless.definitions.live_reads import live_reads
from skewless.state.database import StateDatabase
from skewless.state.definition_log import DefinitionLog
from skewless.state.definition_records import AppliedObjects, sqlite_records

_KINDS = (
    (StreamFeatureView, "stream feature view"),
    (OnDemandFeatureView, "on-demand feature view"),
    (FeatureView, "feature view"),
    (FeatureService, "feature service"),
    (Entity, "entity"),
)


@dataclass
class _Applied:
    """The digests of what an apply is about to write."""

    objects: dict[str, str] = field(default_factory=dict)


_applying: ContextVar[_Applied | None] = ContextVar("applying", default=None)


@contextmanager
def recorded(store: FeatureStore, deleted: Iterable[Any]) -> Iterator[None]:
    """An apply of Feast's: what `confirm` is told in this block is recorded after it. `deleted` are the objects to delete."""
    if confirmed():
        yield
        return
    applied = _Applied()
    token = _applying.set(applied)
    try:
        yield
    finally:
        _applying.reset(token)
    _record(store, applied.objects, {name for item in deleted if (name := _name(item))})


def confirm(store: FeatureStore, contents: RepoContents) -> None:
    """Raises: OlderDefinitions where a model is live; nothing was written then."""
    applied = _applying.get()
    if applied is None:
        return
    folder = Path(store.config.repo_path or store.repo_path)
    objects = object_digests(contents, folder, transforms=bool(contents.on_demand_feature_views))
    settings = settings_of(store.config)
    if live_reads(settings.registry, store.project):
        with closing(StateDatabase(settings.state_url)) as state:
            history = DefinitionLog(state, store.project).history()
        confirm_newer(history, {**(history[-1].objects if history else {}), **objects})
    applied.objects |= objects


def _record(store: FeatureStore, objects: Mapping[str, str], deleted: set[str]) -> None:
    """Record the state of the definitions after an apply, in a project whose definitions are recorded."""
    settings = settings_of(store.config)
    if sqlite_records(settings.state_url, store.project) == []:
        return
    with closing(StateDatabase(settings.state_url)) as state:
        log = DefinitionLog(state, store.project)
        history = log.history()
        if not history:
            return
        last = history[-1]
        after = {name: digest for name, digest in {**last.objects, **objects}.items() if name not in deleted}
        if after != last.objects:
            at = max(datetime.now(UTC), last.applied_at + MICROSECOND)
            log.write([], AppliedObjects(at, f"{_account()} (by Feast)", after))


def _account() -> str:
    with suppress(ImportError, KeyError, OSError):  # a user id without a name, or a system without user ids
        return getpass.getuser()
    return "somebody"


def _name(item: Any) -> str | None:  # noqa: ANN401 - Feast's definitions share no type
    kind = next((kind for cls, kind in _KINDS if isinstance(item, cls)), None)
    return None if kind is None else object_name(kind, item.name)
