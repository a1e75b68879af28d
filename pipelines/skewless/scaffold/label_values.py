"""What the values of a label's column mean as 0 and 1.

Held by tests/scaffold/test_label_values.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from skewless.scaffold.event_columns import EventColumn

_ONES = {"1", "1.0", "true", "t", "yes", "y", "on"}
_ZEROS = {"0", "0.0", "false", "f", "no", "n", "off"}


@dataclass(frozen=True, slots=True)
class LabelValues:
    """The SQL of a label as 0 and 1, and a sentence on what stands for them; empty where they are 0 and 1 already."""

    sql: str
    meaning: str = ""


def label_values(column: EventColumn, values: Sequence[str], positive: str | None) -> LabelValues | None:
    """The label of a column with these values (as texts); `positive` is the value that counts as 1. None where that is unknown.

    A value that was not seen here, in a text, is an error of the query that names it, and in a number it stops the training.
    """
    if column.dtype == "Bool" and positive is None:
        return LabelValues(column.value)
    if positive is not None:
        others = [value for value in values if value != positive]
        return None if len(others) == len(values) else _mapped(column, [positive], others, strict=False)
    if column.dtype in ("Int64", "Float64"):
        return LabelValues(column.value) if {float(value) for value in values} <= {0.0, 1.0} else None
    ones, zeros = ([value for value in values if value.strip().lower() in known] for known in (_ONES, _ZEROS))
    return _mapped(column, ones, zeros, strict=True) if len(ones) + len(zeros) == len(values) else None


def _mapped(column: EventColumn, ones: Sequence[str], zeros: Sequence[str], *, strict: bool) -> LabelValues:
    text = column.sql if column.dtype == "String" else f"CAST({column.sql} AS VARCHAR)"
    listed = [", ".join("'" + value.replace("'", "''") + "'" for value in values) for values in (ones, zeros)]
    if not strict:
        sql = f"CASE WHEN {text} = {listed[0]} THEN 1 WHEN {text} IS NOT NULL THEN 0 END"
        return LabelValues(sql, f"{ones[0]!r} is 1, every other value is 0, and null is unknown.")
    sql = (
        f"CASE WHEN {text} IN ({listed[0]}) THEN 1 WHEN {text} IN ({listed[1]}) THEN 0 ELSE CAST({text} AS INTEGER) END"
    )
    meaning = f"{' and '.join(map(repr, ones))} count as 1, {' and '.join(map(repr, zeros))} as 0; null is unknown."
    return LabelValues(sql, f"{meaning} Any other value stops `skewless ingest` with an error that names it.")
