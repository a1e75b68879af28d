"""Weather at the origin."""

from datetime import timedelta

from entities import OWNER, origin
from feast import FeatureView, Field
from feast.types import Float32
from sources import origin_weather_table

origin_weather = FeatureView(
    name="origin_weather",
    entities=[origin],
    ttl=timedelta(hours=6),
    schema=[
        Field(
            name="temperature",
            dtype=Float32,
            tags={"expect_range": "-40..130", "expect_null_share": "5%"},
            description="Degrees Fahrenheit.",
        ),
        Field(
            name="dew_point",
            dtype=Float32,
            tags={"expect_range": "-60..95", "expect_null_share": "5%"},
            description="Degrees Fahrenheit.",
        ),
        Field(
            name="humidity",
            dtype=Float32,
            tags={"expect_range": "0..100", "expect_null_share": "5%"},
            description="Relative, per cent.",
        ),
        Field(name="wind_direction", dtype=Float32, tags={"expect_range": "0..360"}, description="Degrees."),
        Field(name="wind_speed", dtype=Float32, tags={"expect_range": "0..200, 98%"}, description="Miles an hour."),
        Field(name="precipitation", dtype=Float32, tags={"expect_range": "0..20"}, description="Inches in the hour."),
        Field(
            name="pressure", dtype=Float32, tags={"expect_range": "900..1090"}, description="Millibars at sea level."
        ),
        Field(
            name="visibility",
            dtype=Float32,
            tags={"expect_range": "0..10", "expect_null_share": "5%"},
            description="Miles.",
        ),
        Field(
            name="precipitation_6h",
            dtype=Float32,
            tags={"expect_range": "0..60"},
            description="Inches in the six hours that end with this one.",
        ),
        Field(
            name="pressure_change_3h",
            dtype=Float32,
            tags={"expect_range": "-60..60"},
            description="Millibars against three hours before.",
        ),
    ],
    source=origin_weather_table,
    description=(
        "Weather at the origin. The observation of an hour is published an hour later, so rows count from "
        "their created timestamp on."
    ),
    owner=OWNER,
    tags={
        "domain": "weather",
        "known_by": "created_timestamp",
        "expect_unique": "true",
        "expect_rows_per_day": "30..100",
        "expect_fresh_within": "6h",
    },
)
