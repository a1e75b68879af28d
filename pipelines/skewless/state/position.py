"""A value of a column that grows, a time or a number, as the text that the state database keeps.

Held by tests/state/test_position.py.
"""

from __future__ import annotations

import json
from datetime import date, datetime
from decimal import Decimal

Position = datetime | date | int | float


def encode_position(position: Position | Decimal) -> str:
    """The kind of a value and the value, in JSON."""
    if isinstance(position, datetime):
        return json.dumps(["time", position.isoformat()])
    if isinstance(position, date):
        return json.dumps(["day", position.isoformat()])
    if isinstance(position, Decimal):
        position = int(position) if position == int(position) else float(position)
    return json.dumps(["number", position])


def decode_position(text: str) -> Position:
    """The value. Raises: ValueError for another text."""
    kind, value = json.loads(text)
    match kind:
        case "time":
            return datetime.fromisoformat(value)
        case "day":
            return date.fromisoformat(value)
        case "number" if isinstance(value, int | float):
            return value
    raise ValueError(f"{text!r} is no position")
