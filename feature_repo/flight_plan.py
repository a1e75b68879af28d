"""What the timetable says of the flight, straight from the request."""

import pandas as pd
from entities import OWNER
from feast import Field
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Float32
from sources import flight_request


@on_demand_feature_view(
    sources=[flight_request],
    # Feast refuses an on-demand view whose fields have descriptions (it infers them without).
    schema=[
        Field(name="departure_hour", dtype=Float32),
        Field(name="departure_weekday", dtype=Float32),
        Field(name="distance_miles", dtype=Float32),
        Field(name="scheduled_block_minutes", dtype=Float32),
    ],
    mode="pandas",
    description=(
        "What the timetable says of the flight, as columns of the model: local hour and weekday (Monday is 0) of "
        "the departure, miles, and minutes from gate to gate."
    ),
    owner=OWNER,
    tags={"domain": "flights", "transform": "flight_plan"},
)
def flight_plan(inputs: pd.DataFrame) -> pd.DataFrame:
    """`apply` puts the graph of the function `flight_plan` in transforms.py here."""
