"""Views that Feast removes: their watermarks and rows go, but for those that a live model reads.

Held by tests/feast/test_online_store.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from functools import partial

from feast import FeatureView, RepoConfig
from skewless.contract.plan import PlanView
from skewless.definitions.compiler import view_of
from skewless.definitions.data_folder import settings_of
from skewless.definitions.retention import kept_names
from skewless.feast.stored_definitions import stored_names, unrecorded
from skewless.online.maintenance import view_removal
from skewless.online.store.redis_protocol import SyncRedis
from skewless.runtime.console import step
from skewless.state.database import StateDatabase
from skewless.state.definition_log import DefinitionLog


def remove(config: RepoConfig, client: SyncRedis, tables: Sequence[FeatureView], remaining: set[str]) -> None:
    """Delete the watermarks and rows of views, of those that are `remaining` only this version's.

    Raises: StateUnreachable, RedisUnreachable, StoreReadOnly, RegistryUnreadable.
    """
    settings, names = settings_of(config), stored_names(config)
    views: dict[str, PlanView] = {}
    for table in tables:
        view = names.of(view_of(config, table, table.projection))
        versions = (
            [view] if table.name in remaining else view_removal.versions(client, config.project, view, table.name)
        )
        views |= {version.stored_as: version for version in versions}
    kept = kept_names(settings, config.project, names, views)
    with closing(StateDatabase(settings.state_url)) as state:
        log = DefinitionLog(state, config.project)
        log.write(unrecorded(config, tables, kept, names))
        for name in kept:
            del views[name]
        # Watermarks first: after a kill in between, rows without a watermark are materialized again.
        state.forget(config.project, list(views))
        lock = partial(state.lock, config.project, verb="apply")
        with step("remove rows") as progress:
            removed = view_removal.remove(client, config.project, views.values(), lock=lock, report=progress.at)
            progress.result = ", ".join(f"{rows:,} of {view}" for view, rows in removed.items())
        log.remove(list(views), datetime.now(UTC))
