"""Definitions of one view that differ in every way that a model may not survive."""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace

from skewless.contract.plan import Field, JoinKey, PlanView
from skewless.definitions.compiled_views import CompiledView, TaggedColumn
from skewless.offline.tables.source import TableSource

DATA = Path("/data")
SPEND = PlanView(
    "spend",
    "spend",
    (JoinKey("customer", "customer", "Int64"),),
    (Field("amount", "Float64"), Field("visits", "Int64")),
    3_600_000_000,
    "created_timestamp",
)
POOL = (
    SPEND,
    replace(SPEND, fields=(Field("total", "Float64"), Field("visits", "Int64"))),
    replace(SPEND, fields=(Field("amount", "Float32"), Field("visits", "Int64"))),
    replace(SPEND, fields=(*SPEND.fields, Field("discount", "Float64"))),
    replace(SPEND, fields=(Field("amount", "Float64"),)),
    replace(SPEND, ttl_us=1),
    replace(SPEND, known_by="event_timestamp"),
    replace(SPEND, deleted_field="gone"),
    replace(SPEND, join_keys=(JoinKey("shop", "shop", "String"),)),
)


def compiled(view: PlanView, *, table: str = "spend", **tags: str) -> CompiledView:
    source = TableSource("spend", DATA / table, "event_timestamp", "created_timestamp", (("total", "amount"),))
    return CompiledView(view, source, tags, (TaggedColumn("amount", "Float64", {"unit": "€"}),))
