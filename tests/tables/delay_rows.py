"""Rows of a view `delays` as the online store has them."""

from __future__ import annotations

import numpy as np

from skewless.contract.plan import Field, JoinKey, PlanView
from tests.oracles import entity_key

SCHEMA = (Field("mean", "Float32"), Field("gate", "String"))
OTHER = (Field("mean", "Float64"),)
VIEW = PlanView("delays", "delays", (JoinKey("origin", "origin", "String"),), SCHEMA, 0, "created_timestamp")


def key(number: int) -> bytes:
    return entity_key("tests", {"origin": ("String", f"A{number}")})


def row(mean: float, time: int):
    from tests.oracles import Row

    return Row((), time, time, False, (np.float32(mean), None), SCHEMA)
