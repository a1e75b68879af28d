"""A plan of one view for the join."""

from __future__ import annotations

from skewless.contract.plan import Field, JoinKey, ModelColumn, Plan, PlanView, StoredFeature
from tests.strategies import UNIT

NOON = 1_380_628_800_000_000
DELAYS = PlanView(
    "delays", "delays", (JoinKey("origin", "origin", "String"),), (Field("mean", "Float32"),), UNIT, "created_timestamp"
)
PLAN = Plan("s", "p", (DELAYS,), (Field("hour", "Int64"),), (), (ModelColumn("mean", StoredFeature("delays", "mean")),))
