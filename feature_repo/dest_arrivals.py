"""How flights from New York have been arriving at an airport."""

from datetime import timedelta

from entities import OWNER, dest
from feast import FeatureView, Field
from feast.types import Float32
from sources import dest_arrivals_table

dest_arrivals = FeatureView(
    name="dest_arrivals",
    entities=[dest],
    ttl=timedelta(days=2),
    schema=[
        Field(
            name="inbound_delay_mean_6h",
            dtype=Float32,
            tags={"expect_range": "-180..2880"},
            description="Mean arrival delay in minutes of the last 6 hours' arrivals.",
        ),
        Field(
            name="inbound_delay_mean_24h",
            dtype=Float32,
            tags={"expect_range": "-180..2880"},
            description="Mean arrival delay in minutes of the last 24 hours' arrivals.",
        ),
    ],
    source=dest_arrivals_table,
    description=(
        "How flights from New York have been arriving at an airport. "
        "Windows are half-open, (T - length, T]; an empty one has a null mean."
    ),
    owner=OWNER,
    tags={
        "domain": "flights",
        "events": "arrivals",
        "expect_unique": "true",
        "expect_rows_per_day": "400..20000",
        "expect_fresh_within": "12h",
    },
)
