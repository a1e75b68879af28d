"""A project of shops and their customers, whose rows are erased."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from skewless.contract.plan import Field, JoinKey, PlanView
from skewless.contract.state_folder import StateFolders
from skewless.contract.storage.push_target import PushTarget
from skewless.contract.timestamps import to_micros
from skewless.erasure import erase
from skewless.erasure.erase import ErasurePlaces
from skewless.erasure.receipt import ErasureReceipt
from skewless.erasure.subject import ErasureSubject
from skewless.online.push import push
from skewless.online.push.push import PushedRows
from skewless.online.store.connection import connect
from skewless.online.store.store import SyncOnlineStore
from skewless.registry.model_registry import ModelRegistry
from skewless.state.database import StateDatabase
from tests.tables.pushed_view import PROJECT, TARGET, at, source

NOW = to_micros(at(10))
PEOPLE = PlanView(
    "people", "people", (JoinKey("who", "customer", "Int64"),), (Field("age", "Int64"),), 0, "event_timestamp"
)
SHOPS = PlanView(
    "shops", "shops", (JoinKey("shop", "shop", "String"),), (Field("customer", "Int64"),), 0, "event_timestamp"
)
TARGETS = {
    "cards": TARGET,
    "people": PushTarget(PEOPLE, "people", "event_timestamp", "created_timestamp"),
    "shops": PushTarget(SHOPS, "shops", "event_timestamp", "created_timestamp"),
}
SUBJECT = ErasureSubject.parse(["customer=42"])


def clock() -> datetime:
    return at(60)


def places(root: str | Path, redis_url: str) -> ErasurePlaces:
    folders = StateFolders(Path(root))
    views = tuple((target.view, source(folders.data, target)) for target in TARGETS.values())
    registry, state = ModelRegistry(folders.models, folders.models), StateDatabase(f"sqlite:///{folders.state_db}")
    return ErasurePlaces(folders, folders.data, PROJECT, views, connect(redis_url), registry, state)


def run(subject: ErasureSubject, where: ErasurePlaces, **given: Any) -> tuple[ErasureReceipt, Path]:
    """Erase where nothing is on its way."""
    return erase.run(subject, where, clock, settle=timedelta(0), **given)


def put(where: ErasurePlaces, name: str, *rows: dict) -> None:
    reader = PushedRows(PROJECT, TARGETS[name])
    batch = reader.batch([reader.parse(rows)], NOW)
    push.run(PROJECT, TARGETS[name], batch, where.data, SyncOnlineStore(where.client, PROJECT), NOW)


def erased(root: str, redis_url: str) -> None:
    run(SUBJECT, places(root, redis_url))
