"""Parses JSON values of all types of Feast, for rows pushed by the pipelines: also lists, sets, maps and structs.

The results are values of a table (lists and structs of Arrow, maps and JSON as text); `feast_messages` packs them.

Held by tests/online/push/test_push.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from skewless.contract.errors import NotPushable
from skewless.contract.json_values import STORED, InvalidJsonValue, Parse
from skewless.contract.plan import PlanView
from skewless.contract.timestamp_arrays import UTC_TIMESTAMP
from skewless.contract.value_types import ValueType, value_type
from skewless.offline.values.column_types import natural

ParseValue = Callable[[Any], Any]


def parsers(view: PlanView) -> Mapping[str, Parse]:
    """A parser for each type that the view's keys and features have. Raises: UnsupportedType, NotPushable."""
    for field in view.fields:
        if "ScalarMap" in field.dtype:
            reason = f"feature {field.name!r} has type {field.dtype}, whose keys JSON cannot represent; push with Feast"
            raise NotPushable(view.stored_as, reason)
    names = {key.dtype for key in view.join_keys} | {field.dtype for field in view.fields}
    return {
        name: STORED[name] if name in STORED else _columns(_value_parser(value_type(name))) for name in names
    } | STORED


def to_arrow(kind: ValueType, values: Sequence[Any]) -> pa.Array:
    """Parsed values as a column of a table. Raises: pa.ArrowException."""
    if kind.encoding != "value":
        return (
            pa.array(values, pa.int64()).cast(kind.arrow)
            if kind.name == "UnixTimestamp"
            else pa.array(values, kind.arrow)
        )
    if kind.name == "ZonedTimestamp":
        return pa.array(values, pa.int64()).cast(UTC_TIMESTAMP)
    return pa.array(values, natural(kind) or (pa.list_(pa.string()) if kind.shape != "scalar" else pa.string()))


def _columns(parse_value: ParseValue) -> Parse:
    return lambda column: [None if value is None else parse_value(value) for value in column]


def _value_parser(kind: ValueType) -> ParseValue:
    """The parser of a single value that is not null. Raises: UnsupportedType."""
    if kind.shape in ("array", "set"):
        return _listed(kind)
    if kind.shape == "struct":
        return _struct(kind)
    if kind.name == "Map":
        return _map
    name = "UnixTimestamp" if kind.name == "ZonedTimestamp" else kind.name
    return lambda value: STORED[name]([value])[0]


def _listed(kind: ValueType) -> ParseValue:
    inner = _value_parser(kind.inner[0])
    nullable = kind.inner[0].shape in ("array", "set") or kind.inner[0].name == "UnixTimestamp"

    def parse(value: Any) -> list[Any]:  # noqa: ANN401 - a JSON value
        if type(value) is not list:
            raise InvalidJsonValue("must be an array or null")
        if None in value and not nullable:
            raise InvalidJsonValue("must hold no null")
        return [None if item is None else inner(item) for item in value]

    return parse


def _struct(kind: ValueType) -> ParseValue:
    fields = {name: _value_parser(inner) for name, inner in zip(kind.names, kind.inner, strict=True)}

    def parse(value: Any) -> dict[str, Any]:  # noqa: ANN401
        if type(value) is not dict or not value.keys() <= fields.keys():
            raise InvalidJsonValue(f"must be an object of {', '.join(fields)}, or null")
        return {
            name: None if value.get(name) is None else parse_field(value[name]) for name, parse_field in fields.items()
        }

    return parse


def _map(value: Any) -> str:  # noqa: ANN401
    if type(value) is not dict:
        raise InvalidJsonValue("must be an object or null")
    return json.dumps(value)
