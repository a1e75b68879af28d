"""Packs the rows that Feast passes to an online store, tuples of protobuf values, as keys and packed rows.

Held by tests/feast/test_online_store.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache

import numpy as np

from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from skewless.contract.errors import InvalidInput
from skewless.contract.plan import PlanView
from skewless.contract.storage.entity_key import key_text
from skewless.contract.storage.packed_row import layout_of
from skewless.contract.timestamps import UtcMicros, aware, from_micros, to_micros
from skewless.contract.value_types import value_type
from skewless.feast.errors import FutureRows
from skewless.feast.online.view_decoder import ViewDecoder
from skewless.feast.proto_values import to_arrow

Row = tuple[EntityKey, Mapping[str, Value], datetime, datetime | None]
"""Entity, values, event time, created time."""


def packed(project: str, view: PlanView, data: Sequence[Row], now: UtcMicros) -> tuple[list[bytes], list[bytes]]:
    """Keys and packed rows. A feature that a row lacks is null; a row without created time is known since its event time.

    Raises: InvalidInput for a null join key or a value of another type, FutureRows for rows that may not be used at `now`.
    """
    keys = _key_decoder(project, view).keys(key_columns([row[0] for row in data]), len(data))
    if any(_is_nat(row[2]) for row in data):
        raise InvalidInput("event_timestamp", f"is null in a row of feature view {view.name!r}")
    if None in keys:
        raise InvalidInput(f"/{keys.index(None)}", f"a join key of feature view {view.name!r} is null")
    event = np.array([_micros(row[2]) for row in data], np.int64)
    created = np.array([_micros(_created(row[2], row[3])) for row in data], np.int64)
    columns = [
        to_arrow(f.name, value_type(f.dtype), [row[1].get(f.name, Value()) for row in data]) for f in view.fields
    ]
    deleted = [bool(view.deleted_field and row[1].get(view.deleted_field, Value()).bool_val) for row in data]
    rows = layout_of(view.fields).encode(event, created, np.array(deleted, bool), columns)
    present = [key for key in keys if key is not None]
    due = view.rule.available_at(event, created)
    late = np.flatnonzero(due > now)
    if len(late):
        first = int(late[0])
        times = (from_micros(time).isoformat() for time in (int(due[first]), now))
        raise FutureRows(view.stored_as, len(late), key_text(present[first]), *times)
    return present, rows


@lru_cache(maxsize=64)
def _key_decoder(project: str, view: PlanView) -> ViewDecoder:
    """Of a view's keys alone."""
    return ViewDecoder(project, view, ())


def key_columns(entity_keys: Sequence[EntityKey]) -> dict[str, list[Value]]:
    """Join keys by name, column by column; all entities have the same keys."""
    columns: dict[str, list[Value]] = {}
    for entity in entity_keys:
        for name, value in zip(entity.join_keys, entity.entity_values, strict=True):
            columns.setdefault(name, []).append(value)
    return columns


def _created(event: datetime, created: datetime | None) -> datetime:
    return event if created is None or _is_nat(created) else created


def _is_nat(time: datetime) -> bool:
    """Whether it is pandas' NaT, which is a datetime and not equal to itself."""
    return time != time  # noqa: PLR0124


def _micros(time: datetime) -> UtcMicros:
    return to_micros(aware(time))
