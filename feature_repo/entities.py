"""The things that features are about. Their join keys are columns of the spine and of every request."""

from feast import Entity, ValueType

OWNER = "flights@example.com"
"""Who answers for the definitions of this repository."""

origin = Entity(
    name="origin",
    join_keys=["origin"],
    value_type=ValueType.STRING,
    description="Airport of departure by IATA code: EWR, JFK or LGA.",
    owner=OWNER,
    tags={"expect_values": "EWR, JFK, LGA"},
)

dest = Entity(
    name="dest",
    join_keys=["dest"],
    value_type=ValueType.STRING,
    description="Airport of arrival by IATA code.",
    owner=OWNER,
)

carrier = Entity(
    name="carrier",
    join_keys=["carrier"],
    value_type=ValueType.STRING,
    description="Airline by its two-letter IATA code.",
    owner=OWNER,
)

flight = Entity(
    name="flight",
    join_keys=["flight"],
    value_type=ValueType.INT64,
    description="Flight number, which means something only together with its carrier.",
    owner=OWNER,
    tags={"expect_range": "1..9999"},
)

aircraft = Entity(
    name="aircraft",
    join_keys=["tailnum"],
    value_type=ValueType.STRING,
    description="One airframe by tail number; null where the airline did not report it.",
    owner=OWNER,
)
