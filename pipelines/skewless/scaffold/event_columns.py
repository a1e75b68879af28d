"""The columns of events, with the type of each as a feature, and the SQL of its values and times.

The SQL is that of DuckDB and PostgreSQL alike.

Held by tests/scaffold/test_event_choices.py.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from skewless.scaffold.names import identifier

_WHOLE = (
    *("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT"),
    *("UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT"),
)
_NAIVE = ("TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS", "TIMESTAMP WITHOUT TIME ZONE")
_AWARE = "TIMESTAMP WITH TIME ZONE"
_ROUNDED = ("DECIMAL", "NUMERIC")
_TEXTS = ("VARCHAR", "TEXT", "CHARACTER", "CHARACTER VARYING")
_AS_TEXT = ("UUID", "ENUM")
_TYPES = {
    **dict.fromkeys(_WHOLE, "Int64"),
    **dict.fromkeys(("FLOAT", "REAL", "DOUBLE", "DOUBLE PRECISION", *_ROUNDED), "Float64"),
    **dict.fromkeys((*_TEXTS, *_AS_TEXT), "String"),
    **dict.fromkeys(("DATE", _AWARE, *_NAIVE), "UnixTimestamp"),
    "BOOLEAN": "Bool",
}
_EPOCHS = ((1e8, 1e10, ""), (1e11, 1e13, " / 1000.0"), (1e14, 1e16, " / 1000000.0"))
"""Whole numbers at or above the first and below the second are times since 1970 (of 1973 to 2286); so they become seconds."""
_KEY_NAME = re.compile(r"(^|_)(id|key|no|number|code)$")
TIME_NAME = re.compile(r"(^|_)(time|timestamp|ts|date|datetime)$|_(at|on)$")
EVENT_NAME = re.compile(r"^(event_?)?(time|timestamp|ts|date|datetime)$")
KNOWN_NAME = re.compile(
    r"(^|_)(created?|inserted|ingested|loaded|recorded|received|known|booked|updated|modified|synced|arrived)(_|$)"
)


@dataclass(frozen=True, slots=True)
class EventColumn:
    """A column: its name and type in the source, Feast's type (empty: none), and of the rows looked at how many values it
    has, how many distinct ones, and the greatest of whole numbers.
    """

    name: str
    kind: str
    dtype: str
    distinct: int = 0
    present: int = 0
    greatest: int = 0
    text_time: bool = False
    """Every value is a text that says a time."""

    @property
    def sql(self) -> str:
        return quoted_name(self.name)

    @property
    def value(self) -> str:
        """The SQL of its value as a feature. Decimals become the nearest double; other values stay, to be checked exactly."""
        if self._plain in _ROUNDED:
            return f"CAST({self.sql} AS DOUBLE PRECISION)"
        return f"CAST({self.sql} AS VARCHAR)" if self._plain in _AS_TEXT else self.sql

    @property
    def time(self) -> str:
        """The SQL of its value as an instant; empty where it has none. Times without a zone are UTC."""
        if self._plain in _NAIVE:
            return f"{self.sql} AT TIME ZONE 'UTC'"
        if self._plain == "DATE":
            return f"CAST({self.sql} AS TIMESTAMP) AT TIME ZONE 'UTC'"
        if self._plain == _AWARE:
            return self.sql
        if self.text_time:
            return f"CAST({self.sql} AS TIMESTAMP WITH TIME ZONE)"
        seconds = next((part for least, end, part in _EPOCHS if least <= self.greatest < end), None)
        return f"to_timestamp({self.sql}{seconds})" if seconds is not None else ""

    @property
    def naive(self) -> bool:
        """Whether its times are without a zone."""
        return self._plain in (*_NAIVE, "DATE")

    @property
    def numbers_rows(self) -> bool:
        """Whether it is a key of the rows themselves, as an order number: (nearly) every row has another."""
        return self.key_named and self.distinct > 0.9 * self.present

    @property
    def key_named(self) -> bool:
        """Whether it has the type and the name of a key."""
        return self.dtype in ("Int64", "String") and named_as_key(self.name)

    @property
    def _plain(self) -> str:
        return self.kind.upper().partition("(")[0].strip()


def feast_type(kind: str) -> str:
    """Feast's type for one of DuckDB or PostgreSQL; empty where there is none that a feature would have."""
    return "" if kind.endswith("]") else _TYPES.get(kind.upper().partition("(")[0].strip(), "")


def named_as_key(name: str) -> bool:
    """Whether a column is called as keys are: `customer_id`."""
    return bool(_KEY_NAME.search(identifier(name)))


def quoted_name(name: str) -> str:
    """A name as SQL."""
    return '"' + name.replace('"', '""') + '"'
