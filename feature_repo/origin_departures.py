"""How departures from an airport have been going."""

from datetime import timedelta

from entities import OWNER, origin
from feast import FeatureView, Field
from feast.types import Float32, Int64
from sources import origin_departures_table

origin_departures = FeatureView(
    name="origin_departures",
    entities=[origin],
    ttl=timedelta(days=1),
    schema=[
        Field(
            name="dep_delay_mean_1h",
            dtype=Float32,
            tags={"expect_range": "-180..2880"},
            description="Mean departure delay in minutes of the last hour's departures.",
        ),
        Field(
            name="dep_delay_mean_3h",
            dtype=Float32,
            tags={"expect_range": "-180..2880"},
            description="Mean departure delay in minutes of the last 3 hours' departures.",
        ),
        Field(
            name="late_share_3h",
            dtype=Float32,
            tags={"expect_range": "0..1"},
            description="Share of the last 3 hours' departures that left more than 15 minutes late.",
        ),
        Field(
            name="overdue_count_3h",
            dtype=Int64,
            tags={"expect_range": "0..500", "expect_null_share": "0%"},
            description="Flights due out in the last 3 hours that have not departed (or were cancelled).",
        ),
        Field(
            name="scheduled_count_3h",
            dtype=Int64,
            tags={"expect_range": "0..500", "expect_null_share": "0%"},
            description="Flights due out in the last 3 hours.",
        ),
    ],
    source=origin_departures_table,
    description=(
        "How departures from an airport have been going. "
        "Windows are half-open, (T - length, T]; an empty one has a null mean and the count 0. "
        "The ttl outlasts the quiet of the night."
    ),
    owner=OWNER,
    tags={
        "domain": "flights",
        "events": "departures",
        "expect_unique": "true",
        "expect_rows_per_day": "300..20000",
        "expect_fresh_within": "1d",
    },
)
