"""How flights between two airports have been arriving."""

from datetime import timedelta

from entities import OWNER, dest, origin
from feast import FeatureView, Field
from feast.types import Float32
from sources import route_table

route = FeatureView(
    name="route",
    entities=[origin, dest],
    ttl=timedelta(days=31),
    schema=[
        Field(
            name="route_late_share_30d",
            dtype=Float32,
            tags={"expect_range": "0..1"},
            description="Share of the last 30 days' arrivals that were more than 15 minutes late.",
        ),
    ],
    source=route_table,
    description=(
        "How flights between two airports have been arriving. "
        "Windows are half-open, (T - length, T]; an empty one has a null mean."
    ),
    owner=OWNER,
    tags={
        "domain": "flights",
        "events": "arrivals",
        "expect_unique": "true",
        "expect_rows_per_day": "300..20000",
        "expect_fresh_within": "12h",
    },
)
