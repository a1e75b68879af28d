"""How an airline's flights have been arriving."""

from datetime import timedelta

from entities import OWNER, carrier
from feast import FeatureView, Field
from feast.types import Float32
from sources import carrier_arrivals_table

carrier_arrivals = FeatureView(
    name="carrier_arrivals",
    entities=[carrier],
    ttl=timedelta(days=2),
    schema=[
        Field(
            name="arr_delay_mean_6h",
            dtype=Float32,
            tags={"expect_range": "-180..2880"},
            description="Mean arrival delay in minutes of the last 6 hours' arrivals.",
        ),
        Field(
            name="late_share_24h",
            dtype=Float32,
            tags={"expect_range": "0..1"},
            description="Share of the last 24 hours' arrivals that were more than 15 minutes late.",
        ),
    ],
    source=carrier_arrivals_table,
    description=(
        "How an airline's flights out of New York have been arriving. "
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
