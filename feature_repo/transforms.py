"""Pure array functions that training and serving share: one per on-demand feature view, under its name.

Parameters are the view's inputs by name: numbers as floating-point arrays, NaN where null. Only the array API may be
used (`x.__array_namespace__()`), so that `ndonnx` can trace a function to the ONNX graph that training, batch scoring
and the server all run. Results are float32.
"""

from typing import Any

Array = Any
"""Any array of the array API: NumPy's here and in notebooks, ndonnx's when traced."""

_SECONDS_PER_HOUR = 3600.0


def flight_plan(*, hour: Array, weekday: Array, distance: Array, block_minutes: Array) -> dict[str, Array]:
    """The request as the model takes it."""
    return {
        "departure_hour": _float32(hour),
        "departure_weekday": _float32(weekday),
        "distance_miles": _float32(distance),
        "scheduled_block_minutes": _float32(block_minutes),
    }


def turnaround(
    *, scheduled_departure_unix: Array, last_arrival_unix: Array, last_departure_unix: Array
) -> dict[str, Array]:
    """Hours from the aircraft's last known movements to the departure that is planned."""
    # Subtract as float64: float32 holds seconds since 1970 only to the nearest 128.
    return {
        "hours_since_arrival": _float32((scheduled_departure_unix - last_arrival_unix) / _SECONDS_PER_HOUR),
        "hours_since_departure": _float32((scheduled_departure_unix - last_departure_unix) / _SECONDS_PER_HOUR),
    }


def _float32(values: Array) -> Array:
    xp = values.__array_namespace__()
    return xp.astype(values, xp.float32)
