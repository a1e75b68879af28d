"""How one flight number has been arriving."""

from datetime import timedelta

from entities import OWNER, carrier, flight
from feast import FeatureView, Field
from feast.types import Float32
from sources import flight_number_table

flight_number = FeatureView(
    name="flight_number",
    entities=[carrier, flight],
    ttl=timedelta(days=31),
    schema=[
        Field(
            name="late_share_30d",
            dtype=Float32,
            tags={"expect_range": "0..1"},
            description="Share of the last 30 days' arrivals that were more than 15 minutes late.",
        ),
        Field(
            name="arr_delay_mean_30d",
            dtype=Float32,
            tags={"expect_range": "-180..2880"},
            description="Mean arrival delay in minutes of the last 30 days' arrivals.",
        ),
    ],
    source=flight_number_table,
    description=(
        "How this very flight has been arriving on its earlier days. "
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
