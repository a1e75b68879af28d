"""How an airline has been departing from one airport."""

from datetime import timedelta

from entities import OWNER, carrier, origin
from feast import FeatureView, Field
from feast.types import Float32
from sources import carrier_origin_table

carrier_origin = FeatureView(
    name="carrier_origin",
    entities=[carrier, origin],
    ttl=timedelta(days=8),
    schema=[
        Field(
            name="dep_delay_mean_6h",
            dtype=Float32,
            tags={"expect_range": "-180..2880"},
            description="Mean departure delay in minutes of the last 6 hours' departures.",
        ),
        Field(
            name="late_share_7d",
            dtype=Float32,
            tags={"expect_range": "0..1", "expect_null_share": "1%"},
            description="Share of the last 7 days' departures that left more than 15 minutes late.",
        ),
    ],
    source=carrier_origin_table,
    description=(
        "How an airline has been departing from one airport. "
        "Windows are half-open, (T - length, T]; an empty one has a null mean."
    ),
    owner=OWNER,
    tags={
        "domain": "flights",
        "events": "departures",
        "expect_unique": "true",
        "expect_rows_per_day": "400..20000",
        "expect_fresh_within": "12h",
    },
)
