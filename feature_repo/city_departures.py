"""How departures from all of New York have been going."""

from datetime import timedelta

from entities import OWNER
from feast import FeatureView, Field
from feast.types import Float32
from sources import city_departures_table

city_departures = FeatureView(
    name="city_departures",
    entities=[],
    ttl=timedelta(days=1),
    schema=[
        Field(
            name="dep_delay_mean_2h",
            dtype=Float32,
            tags={"expect_range": "-180..2880", "expect_null_share": "10%"},
            description="Mean departure delay in minutes of the last 2 hours' departures.",
        ),
    ],
    source=city_departures_table,
    description=(
        "How departures from all of New York have been going: one row for everyone. "
        "Windows are half-open, (T - length, T]; an empty one has a null mean."
    ),
    owner=OWNER,
    tags={
        "domain": "flights",
        "events": "departures",
        "expect_unique": "true",
        "expect_rows_per_day": "100..10000",
    },
)
