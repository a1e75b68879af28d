"""What an aircraft was built as."""

from datetime import timedelta

from entities import OWNER, aircraft
from feast import FeatureView, Field
from feast.types import Int64
from sources import aircraft_static_table

aircraft_static = FeatureView(
    name="aircraft_static",
    entities=[aircraft],
    ttl=timedelta(days=3650),
    schema=[
        Field(
            name="plane_age",
            dtype=Int64,
            tags={"expect_range": "0..100", "expect_null_share": "10%"},
            description="Years from its building to 2013; null where the register has no year.",
        ),
        Field(name="seats", dtype=Int64, tags={"expect_range": "1..900"}, description="Number of seats."),
    ],
    source=aircraft_static_table,
    description=("What an aircraft was built as: the register as of 2013-01-01, so its ttl is long."),
    owner=OWNER,
    tags={
        "domain": "aircraft",
        "events": "register",
        "expect_unique": "true",
    },
)
