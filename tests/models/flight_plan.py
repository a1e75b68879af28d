"""A plan of two views, request inputs and a transform, and variations of it."""

from __future__ import annotations

import msgspec
import ndonnx as ndx

from skewless.contract.plan import (
    Field,
    JoinKey,
    ModelColumn,
    Plan,
    PlanView,
    RequestInput,
    StoredFeature,
    Transform,
    TransformOutput,
)

AIRCRAFT = PlanView(
    "aircraft",
    "aircraft",
    (JoinKey("tail", "tail_number", "String"),),
    (Field("delay", "Float32"), Field("seats", "Int64"), Field("maker", "String")),
    ttl_us=3_600_000_000,
    known_by="created_timestamp",
    deleted_field="scrapped",
)
CITY = PlanView("city", "city", (), (Field("delay", "Float64"),), 0, "event_timestamp")
CLOCK = Transform(
    "clock",
    (("hour", RequestInput("hour")), ("delay", StoredFeature("aircraft", "delay"))),
    (Field("sine", "Float32"), Field("late", "Float32")),
    "ab" * 32,
)
PLAN = Plan(
    "lateness",
    "skewless",
    (AIRCRAFT, CITY),
    (Field("hour", "Int32"), Field("distance", "Float32")),
    (CLOCK,),
    (
        ModelColumn("aircraft__delay", StoredFeature("aircraft", "delay"), 0.0),
        ModelColumn("distance", RequestInput("distance")),
        ModelColumn("clock__sine", TransformOutput("clock", "sine"), -1.5),
    ),
)


def but(thing, **changes):
    return msgspec.structs.replace(thing, **changes)


def clock(hour, delay):
    return {"sine": ndx.sin(hour / 24), "late": ndx.astype(delay > 15, ndx.float32)}
