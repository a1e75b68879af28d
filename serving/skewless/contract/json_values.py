"""The JSON form of each feature type: text for texts and times, numbers for numbers, base64 for bytes. Also finds
NaN and Infinity in a body, which JSON does not have but many encoders write.

A JSON column is a list of n values, None where null. Parsing is strict: a value that would be rounded, cut or guessed is
refused (a bool for an int, a number in quotes, 1.5 for an Int64, 1e39 for a Float32).

Held by tests/server/predict/test_request.py.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from skewless.contract.columns import ColumnValues
from skewless.contract.errors import InvalidInput
from skewless.contract.timestamp_arrays import rfc3339_texts
from skewless.contract.timestamps import SECOND_US, parse_rfc3339
from skewless.contract.value_types import ValueType

Json = str | int | float | bool | None
Scalar = str | bytes | int | float | bool | None
Parse = Callable[[Sequence[Any]], list[Any]]
_NULL = type(None)
FLOAT64_MAX, FLOAT32_MAX = float(np.finfo("<f8").max), float(np.finfo("<f4").max)


class InvalidJsonValue(ValueError):
    """A JSON value is not of the type; the text says what it must be."""


def _only(column: Sequence[Any], allowed: set[type], needed: str) -> set[type]:
    kinds = set(map(type, column))
    if not kinds <= allowed:
        raise InvalidJsonValue(f"must be {needed} or null")
    return kinds


def _strings(column: Sequence[Any]) -> list[Any]:
    _only(column, {str, _NULL}, "a string")
    return list(column)


def _bools(column: Sequence[Any]) -> list[Any]:
    _only(column, {bool, _NULL}, "true, false")
    return list(column)


def _integers(bits: int) -> Parse:
    low, high = -(1 << bits - 1), (1 << bits - 1) - 1

    def parse(column: Sequence[Any]) -> list[Any]:
        kinds = _only(column, {int, _NULL}, f"an integer of {bits} bits, without a fraction or exponent,")
        known = [value for value in column if value is not None] if _NULL in kinds else column
        if known and not low <= min(known) <= max(known) <= high:
            raise InvalidJsonValue(f"must be from {low} to {high}")
        return list(column)

    return parse


def _floats(greatest: float) -> Parse:
    def parse(column: Sequence[Any]) -> list[Any]:
        _only(column, {float, int, _NULL}, "a number")
        parsed = [None if value is None else float(value) for value in column]
        if any(value is not None and not -greatest <= value <= greatest for value in parsed):
            raise InvalidJsonValue(f"must be from {-greatest:.8g} to {greatest:.8g}")
        return parsed

    return parse


def _bytes(column: Sequence[Any]) -> list[Any]:
    _only(column, {str, _NULL}, "base64 in a string")
    try:
        return [None if text is None else base64.b64decode(text, validate=True) for text in column]
    except (binascii.Error, ValueError):
        raise InvalidJsonValue("must be base64 (RFC 4648, section 4) or null") from None


def _times(column: Sequence[Any]) -> list[Any]:
    _only(column, {str, _NULL}, "a time in a string, such as 2013-10-01T12:00:00Z,")
    try:
        return [None if text is None else parse_rfc3339(text) for text in column]
    except ValueError as error:
        raise InvalidJsonValue(f"{error}, or null") from None


def _whole_seconds(column: Sequence[Any]) -> list[Any]:
    times = _times(column)
    if any(time is not None and time % SECOND_US for time in times):
        raise InvalidJsonValue("must be a time in whole seconds (it is a join key) or null")
    return times


PARSE: dict[str, Parse] = {
    "Bytes": _bytes,
    "String": _strings,
    "Int32": _integers(32),
    "Int64": _integers(64),
    "Float64": _floats(FLOAT64_MAX),
    "Float32": _floats(FLOAT32_MAX),
    "Bool": _bools,
    "UnixTimestamp": _times,
}
"""By type name: a JSON column as Python values (times in microseconds), or InvalidJsonValue. All plain types."""

PARSE_KEY: dict[str, Parse] = PARSE | {"UnixTimestamp": _whole_seconds}
"""`PARSE` for join keys, whose times are whole seconds as in Feast."""

STORED: dict[str, Parse] = PARSE | {
    "Json": _strings,
    "Uuid": _strings,
    "TimeUuid": _strings,
    "Decimal": _strings,
    "PdfBytes": _bytes,
    "ImageBytes": _bytes,
}
"""`PARSE` for stored features, which have more types."""

SAMPLES: dict[str, Json] = {
    "Bytes": "AAE=",
    "String": "text",
    "Int32": 1,
    "Int64": 1,
    "Float64": 0.5,
    "Float32": 0.5,
    "Bool": True,
    "UnixTimestamp": "2013-10-01T12:00:00Z",
}
"""By type name: an example value."""


def as_values(kind: ValueType, parsed: Sequence[Scalar]) -> ColumnValues:
    """A parsed column as ColumnValues: zero (None for texts) where null."""
    valid = np.fromiter((value is not None for value in parsed), bool, len(parsed))
    if kind.text:
        data = np.empty(len(parsed), object)
        data[:] = parsed
        return ColumnValues(data, valid)
    if valid.all():
        return ColumnValues(np.array(parsed, kind.numpy), valid)
    return ColumnValues(np.array([0 if value is None else value for value in parsed], kind.numpy), valid)


def to_json(kind: ValueType, values: ColumnValues) -> list[Json]:
    """Values as a JSON column. NaN and infinities, which JSON does not have, are null; a Float32 has the shortest digits that
    give its bits, as 1.111 and not 1.1109999418258667.
    """
    valid = values.valid
    if kind.name == "UnixTimestamp":
        column: list[Json] = list(rfc3339_texts(values.data.astype(np.int64)))
    elif kind.name == "Bytes":
        column = [None if value is None else base64.b64encode(value).decode() for value in values.data]
    else:
        if kind.numpy.kind == "f":
            valid = valid & np.isfinite(values.data)
        column = (values.data.astype("U").astype(float) if kind.name == "Float32" else values.data).tolist()
    if valid.all():
        return column
    return [value if present else None for value, present in zip(column, valid.tolist(), strict=True)]


_CONSTANTS = (b"NaN", b"Infinity")


class _JsonConstant(str):
    """NaN or Infinity in place of a number."""

    __slots__ = ()


def json_constants(body: bytes) -> tuple[InvalidInput, ...]:
    """An error for each NaN and Infinity in a body that is otherwise valid JSON; none for any other body."""
    if not any(mark in body for mark in _CONSTANTS):
        return ()
    try:
        constants = tuple(_constants(json.loads(body, parse_constant=_JsonConstant)))
    except (ValueError, RecursionError):
        return ()
    return tuple(
        InvalidInput(pointer, f"{word} is no JSON; send null where there is no value") for pointer, word in constants
    )


def pointer_token(name: str) -> str:
    """A name as one token of a JSON pointer (RFC 6901)."""
    return name.replace("~", "~0").replace("/", "~1")


def _constants(parsed: object, pointer: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(parsed, _JsonConstant):
        yield pointer, parsed
    elif isinstance(parsed, dict):
        for name, value in parsed.items():
            yield from _constants(value, f"{pointer}/{pointer_token(name)}")
    elif isinstance(parsed, list):
        for index, value in enumerate(parsed):
            yield from _constants(value, f"{pointer}/{index}")
