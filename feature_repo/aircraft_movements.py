"""Where an aircraft's last flight stands, and how long that leaves for the next one."""

from datetime import timedelta

import pandas as pd
from entities import OWNER, aircraft
from feast import FeatureView, Field
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Float32, Int64
from sources import aircraft_movements_table, flight_request

aircraft_movements = FeatureView(
    name="aircraft_movements",
    entities=[aircraft],
    ttl=timedelta(days=14),
    schema=[
        Field(
            name="last_arr_delay",
            dtype=Float32,
            tags={"expect_range": "-180..2880"},
            description="Arrival delay in minutes of its last flight.",
        ),
        Field(
            name="last_dep_delay",
            dtype=Float32,
            tags={"expect_range": "-180..2880", "expect_null_share": "0%"},
            description="Departure delay in minutes of its last flight.",
        ),
        Field(name="last_arrival_unix", dtype=Int64, description="Its last arrival, seconds since 1970 UTC."),
        Field(
            name="last_departure_unix",
            dtype=Int64,
            tags={"expect_null_share": "0%"},
            description="Its last departure, seconds since 1970 UTC.",
        ),
    ],
    source=aircraft_movements_table,
    description=(
        "The last departure from New York and the last arrival from there of an aircraft; a row at each. "
        "After two weeks without either it says nothing of the next flight."
    ),
    owner=OWNER,
    tags={
        "domain": "aircraft",
        "events": "movements",
        "expect_unique": "true",
        "expect_rows_per_day": "200..10000",
    },
)


@on_demand_feature_view(
    sources=[aircraft_movements, flight_request],
    # Feast refuses an on-demand view whose fields have descriptions (it infers them without).
    schema=[
        Field(name="hours_since_arrival", dtype=Float32),
        Field(name="hours_since_departure", dtype=Float32),
    ],
    mode="pandas",
    description="Hours from the aircraft's last known movements to the departure that is asked for.",
    owner=OWNER,
    tags={"domain": "aircraft", "transform": "turnaround"},
)
def turnaround(inputs: pd.DataFrame) -> pd.DataFrame:
    """`apply` puts the graph of the function `turnaround` in transforms.py here."""
