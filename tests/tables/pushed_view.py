"""A view to push to, its target, and rows for it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from redis import Redis

from skewless.contract.plan import Field, JoinKey, PlanView
from skewless.contract.storage.catalog import catalog_key
from skewless.contract.storage.push_target import PushTarget, target_entry
from skewless.offline.tables.source import TableSource
from skewless.offline.tables.view_rows import read_history
from tests.oracles import Row, Rule, as_of, entity_key, packed_row

PROJECT = "tests"
NOON = datetime(2013, 10, 1, 12, tzinfo=UTC)
CARDS = PlanView(
    "cards",
    "cards",
    (JoinKey("customer", "customer", "Int64"), JoinKey("shop", "shop", "String")),
    (Field("amount", "Float32"), Field("count", "Int64"), Field("note", "String"), Field("seen", "UnixTimestamp")),
    0,
    "created_timestamp",
    "gone",
)
TARGET = PushTarget(CARDS, "cards", "event_timestamp", "created_timestamp", (("count", "n"),))


def at(minutes: float) -> datetime:
    return NOON + timedelta(minutes=minutes)


def source(data: Path, target: PushTarget = TARGET) -> TableSource:
    return TableSource(
        target.view.stored_as,
        data / target.folder,
        target.timestamp_field,
        target.created_timestamp_column,
        target.renamed,
    )


def row(customer: int = 1, *, shop: str = "A", minutes: float = 0, **values: Any) -> dict[str, Any]:
    """A row in JSON, true since some minutes after noon."""
    features = {"amount": 0.1, "count": 2**53 + 1, "note": "ä", "seen": "2013-10-01T11:59:59.000001Z"}
    return {"customer": customer, "shop": shop, **features, "event_timestamp": at(minutes).isoformat(), **values}


def offer(redis_url: str, target: PushTarget = TARGET) -> None:
    """What `skewless materialize` tells the store of a target."""
    with Redis.from_url(redis_url) as client:
        client.hset(catalog_key(PROJECT), mapping=target_entry(target))  # type: ignore[arg-type]


def stored(data: Path, target: PushTarget = TARGET) -> list[Row]:
    """The rows of the table, as the oracle takes them, ordered."""
    where, view = source(data, target), target.view
    history = read_history(view, where, where.files())
    columns = [_plain(view.fields[place].dtype, column) for place, column in enumerate(history.columns)]
    keys = list(zip(*(key.to_pylist() for key in history.keys), strict=True))
    times = (history.event.tolist(), history.created.tolist(), history.deleted.tolist())
    found = [
        Row(key, event, created, deleted, tuple(values), view.fields)
        for key, event, created, deleted, *values in zip(keys, *times, *columns, strict=True)
    ]
    return sorted(found, key=lambda one: (one.key, one.event, one.created))


def _plain(dtype: str, column: pa.Array) -> list[Any]:
    """Values as the oracle takes them."""
    values = (column.cast(pa.int64()) if dtype == "UnixTimestamp" else column).to_pylist()
    if dtype in ("Float32", "Float64"):
        kind = np.float32 if dtype == "Float32" else np.float64
        return [None if value is None else kind(value) for value in values]
    return values


def differences(redis_url: str, data: Path, now: int, target: PushTarget = TARGET) -> list[str]:
    """Where the online store does not hold the newest row of the table as of `now`, entity by entity."""
    view = target.view
    rule = Rule(view.ttl_us, view.known_by)
    rows = stored(data, target)
    found = []
    with Redis.from_url(redis_url) as client:
        for key in dict.fromkeys(one.key for one in rows):
            used = as_of(rows, key, now, rule)
            names = {k.key: (k.dtype, value) for k, value in zip(view.join_keys, key, strict=True)}
            held = client.hget(entity_key(PROJECT, names), view.stored_as)  # type: ignore[arg-type]
            if held != (packed_row(used) if used else None):
                found.append(f"{key}: {held!r} and the table says {used}")
    return found
