"""Where feature values come from: tables below the data folder, by name, and what a request brings."""

from entities import OWNER
from feast import Field, FileSource, RequestSource
from feast.types import Int64


def _table(name: str, description: str) -> FileSource:
    return FileSource(
        name=name,
        path=name,
        timestamp_field="event_timestamp",
        created_timestamp_column="created_timestamp",
        description=description,
        owner=OWNER,
    )


_STEPS = "A row at each instant when an event enters or leaves a window, so the newest row is the value now."

origin_departures_table = _table("origin_departures", f"Departures of each origin. {_STEPS}")
city_departures_table = _table("city_departures", f"Departures of all three origins together. {_STEPS}")
carrier_arrivals_table = _table("carrier_arrivals", f"Arrivals of each airline. {_STEPS}")
carrier_origin_table = _table("carrier_origin", f"Departures of each airline from each origin. {_STEPS}")
dest_arrivals_table = _table("dest_arrivals", f"Arrivals from New York at each airport. {_STEPS}")
route_table = _table("route", f"Arrivals of each pair of airports. {_STEPS}")
flight_number_table = _table("flight_number", f"Arrivals of each flight number. {_STEPS}")
aircraft_movements_table = _table(
    "aircraft_movements", "A row at each departure from New York and each arrival from there of an aircraft."
)
aircraft_static_table = _table("aircraft_static", "The register of aircraft, one row each, as of 2013-01-01.")
origin_weather_table = _table(
    "origin_weather", "Hourly observations at the origins: true since the hour, known since an hour later."
)

flight_request = RequestSource(
    name="flight_request",
    schema=[
        Field(name="hour", dtype=Int64, description="Local hour of the scheduled departure, 0 to 23."),
        Field(name="weekday", dtype=Int64, description="Local day of the scheduled departure, Monday is 0."),
        Field(name="distance", dtype=Int64, description="Great-circle distance in miles."),
        Field(name="block_minutes", dtype=Int64, description="Scheduled arrival minus departure, in minutes."),
        Field(
            name="scheduled_departure_unix",
            dtype=Int64,
            description="Scheduled departure in seconds since 1970 UTC.",
        ),
    ],
    description="What the caller knows of the flight to predict.",
    owner=OWNER,
)
