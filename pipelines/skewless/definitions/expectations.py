"""Expectations of a feature view, given as tags of its definition; the gates read them from Feast's registry.

Field(..., tags={"expect_range": "0..100"})              every value within, ends included; either end may be left out
Field(..., tags={"expect_range": "0..120, 98%"})         at least 98% of the values within
Field(..., tags={"expect_null_share": "5%"})             at most this share of nulls (NaN counts as null)
Field(..., tags={"expect_values": "A, B"})               only these values; also on an Entity, for its join key
FeatureView(..., tags={"expect_unique": "true"})         one row for each key, event and created time
FeatureView(..., tags={"expect_rows_per_day": "10.."})   number of rows for each day of event time
FeatureView(..., tags={"expect_fresh_within": "6h"})     the newest event is at most this old at the batch's end
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from skewless.contract.errors import SkewlessError
from skewless.definitions.compiled_views import CompiledView

_PREFIX = "expect_"
_COLUMN_TAGS = {"expect_range", "expect_null_share", "expect_values"}
_VIEW_TAGS = {"expect_unique", "expect_rows_per_day", "expect_fresh_within"}
_NUMBERS = {"Int32", "Int64", "Float32", "Float64", "Double", "Float"}
_RANGE = re.compile(r"(?P<low>[^,]*?)\.\.(?P<high>[^,]*?)(?:,\s*(?P<share>[\d.]+)\s*%)?")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_AGE = re.compile(r"(?P<count>\d+)\s*(?P<unit>[smhd])")


@dataclass(eq=False)
class BadExpectation(SkewlessError):
    """A tag of a definition begins with `expect_`, but is unknown or has an invalid value."""

    view: str
    tag: str
    reason: str

    def __str__(self) -> str:
        return f"feature view {self.view!r}: tag {self.tag!r} {self.reason}; correct the definition in feature_repo/"


@dataclass(frozen=True, slots=True)
class ValueBounds:
    """A range from `low` to `high`, both included; None is no bound. At least `share` of the values must lie within."""

    low: float | None
    high: float | None
    share: float = 1.0

    def __str__(self) -> str:
        low, high = ("" if end is None else f"{end:.15g}" for end in (self.low, self.high))
        return f"{low}..{high}" + (f" for {self.share:.4%} of them" if self.share < 1 else "")


@dataclass(frozen=True, slots=True)
class ColumnExpectation:
    """The expectations of one feature or join key."""

    name: str
    bounds: ValueBounds | None = None
    null_share: float | None = None
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ViewExpectations:
    """The expectations of a view's rows: of a batch that is ingested or materialized, or of the whole table."""

    view: str
    columns: tuple[ColumnExpectation, ...] = ()
    unique: bool = False
    rows_per_day: ValueBounds | None = None
    fresh_within: timedelta | None = None

    def __bool__(self) -> bool:
        return bool(self.columns or self.unique or self.rows_per_day or self.fresh_within)


def expectations(view: CompiledView) -> ViewExpectations:
    """The expectations of a registered view; those of its join keys come from their entities. Raises: BadExpectation."""
    name, tags = view.plan.name, _tags(view.plan.name, view.tags, _VIEW_TAGS)
    columns = [_column(name, column.name, column.tags, column.dtype) for column in view.columns]
    unique, rows, fresh = (tags.get(f"expect_{kind}") for kind in ("unique", "rows_per_day", "fresh_within"))
    if unique not in (None, "true", "false"):
        raise BadExpectation(name, "expect_unique", f"is {unique!r}, not true or false")
    return ViewExpectations(
        view=name,
        columns=tuple(column for column in columns if column is not None),
        unique=unique == "true",
        rows_per_day=None if rows is None else _bounds(name, "expect_rows_per_day", rows),
        fresh_within=None if fresh is None else _age(name, fresh),
    )


def _tags(view: str, tags: Mapping[str, str], known: set[str]) -> dict[str, str]:
    expected = {tag: value for tag, value in tags.items() if tag.startswith(_PREFIX)}
    for tag in expected:
        if tag not in known:
            raise BadExpectation(view, tag, f"is unknown here; known are {sorted(known)}")
    return expected


def _column(view: str, name: str, tags: Mapping[str, str], dtype: str) -> ColumnExpectation | None:
    tags = _tags(view, tags, _COLUMN_TAGS)
    if not tags:
        return None
    bounds, nulls, values = (tags.get(f"expect_{kind}") for kind in ("range", "null_share", "values"))
    if bounds is not None and dtype not in _NUMBERS:
        raise BadExpectation(view, "expect_range", f"is on {name!r}, a {dtype}; only numbers have a range")
    return ColumnExpectation(
        name,
        None if bounds is None else _bounds(view, f"expect_range of {name}", bounds),
        None if nulls is None else _share(view, f"expect_null_share of {name}", nulls),
        tuple(value.strip() for value in values.split(",")) if values else (),
    )


def _bounds(view: str, tag: str, text: str) -> ValueBounds:
    match = _RANGE.fullmatch(text.strip())
    if match is None:
        raise BadExpectation(view, tag, f"is {text!r}, not a range such as 0..100, 0.. or '0..120, 98%'")
    low, high = (_number(view, tag, match[end]) for end in ("low", "high"))
    share = 1.0 if match["share"] is None else _share(view, tag, match["share"])
    if low is not None and high is not None and low > high:
        raise BadExpectation(view, tag, f"is {text!r}, whose lower end is above the upper")
    return ValueBounds(low, high, share)


def _number(view: str, tag: str, text: str) -> float | None:
    try:
        return float(text) if text.strip() else None
    except ValueError as error:
        raise BadExpectation(view, tag, f"has the end {text!r}, which is not a number") from error


def _share(view: str, tag: str, text: str) -> float:
    percent = _number(view, tag, text.strip().removesuffix("%"))
    if percent is None or not 0 <= percent <= 100:
        raise BadExpectation(view, tag, f"is {text!r}, not a share such as 5%")
    return percent / 100


def _age(view: str, text: str) -> timedelta:
    match = _AGE.fullmatch(text.strip())
    if match is None:
        raise BadExpectation(view, "expect_fresh_within", f"is {text!r}, not an age such as 90m, 6h or 2d")
    return timedelta(**{_UNITS[match["unit"]]: int(match["count"])})
