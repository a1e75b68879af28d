"""Model versions: the features of each, in the order in which the model takes them."""

from aircraft_movements import aircraft_movements, turnaround
from aircraft_static import aircraft_static
from carrier_arrivals import carrier_arrivals
from carrier_origin import carrier_origin
from city_departures import city_departures
from dest_arrivals import dest_arrivals
from entities import OWNER
from feast import FeatureService
from flight_number import flight_number
from flight_plan import flight_plan
from origin_departures import origin_departures
from origin_weather import origin_weather
from route import route

flight_delay_v1 = FeatureService(
    name="flight_delay_v1",
    features=[
        flight_plan,
        origin_departures,
        city_departures,
        carrier_arrivals,
        carrier_origin,
        dest_arrivals,
        route,
        flight_number,
        aircraft_movements[["last_arr_delay", "last_dep_delay"]],
        turnaround,
        origin_weather,
        aircraft_static,
    ],
    description="Will this flight arrive more than 15 minutes late? Asked 2 hours before its scheduled departure.",
    owner=OWNER,
    tags={"domain": "flights", "model": "flight_delay", "label": "late"},
)
