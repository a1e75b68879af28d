"""The features that Feast's SDK gives in whole seconds: times, since Feast's messages hold seconds.

Held by tests/definitions/test_whole_seconds.py.
"""

from __future__ import annotations

from collections.abc import Iterable

from skewless.contract.plan import PlanView

_TIMES = ("UnixTimestamp", "ZonedTimestamp")


def whole_seconds_note(views: Iterable[PlanView]) -> str | None:
    """A sentence on the views' features that are times or hold some; None where there are none."""
    times = [
        f"{view.name}.{field.name}" for view in views for field in view.fields if any(t in field.dtype for t in _TIMES)
    ]
    if not times:
        return None
    return (
        f"Feast's SDK gives times in whole seconds, offline and online ({', '.join(times)}); training sets, models and "
        "servers keep microseconds"
    )
