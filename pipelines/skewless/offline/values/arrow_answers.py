"""Value messages as Arrow columns: what `get_historical_features` answers of lists, sets, maps and structs.

A map has the type of its values, where they have one; else, and inside of structs and lists of lists, its values are
JSON texts. A set is a list, sorted as it is stored. A zoned time is its instant in UTC, as Feast has it in Arrow.

Held by tests/offline/values/test_feast_messages.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa
from feast.protos.feast.types.Value_pb2 import DoubleList, FloatList, Value

from skewless.contract.columns import ColumnValues
from skewless.contract.storage.served_row import to_arrow
from skewless.contract.value_types import ValueType
from skewless.offline.values.column_types import natural
from skewless.offline.values.feast_messages import plain

_MAPS = {"Map", "ScalarMap"}


def answer(kind: ValueType, values: ColumnValues) -> pa.Array:
    """A feature's values as the answer's column; null where not valid."""
    if kind.encoding != "value":
        return to_arrow(kind, values)
    pairs = zip(values.data.tolist(), values.valid.tolist(), strict=True)
    messages = [Value.FromString(datum) if there else None for datum, there in pairs]
    if kind.shape == "array" and kind.inner[0].name in ("Float32", "Float64"):
        return _float_lists(kind, messages)
    told = [None if value is None else plain(kind, value) for value in messages]
    if kind.name in _MAPS:
        return _maps(told)
    if kind.shape == "array" and kind.inner[0].name in _MAPS:
        return _lists_of_maps(told)
    return pa.array([_texts(kind, value) for value in told], _answered(kind))


def decided_by_values(kind: ValueType) -> bool:
    """Whether the Arrow type of a feature's answer depends on its values, so that it takes all of them to tell it."""
    return kind.name in _MAPS or (kind.shape == "array" and kind.inner[0].name in _MAPS)


def _float_lists(kind: ValueType, messages: Iterable[Value | None]) -> pa.Array:
    """Bit for bit: a float32 that goes through Python may lose what a NaN carries."""
    inner = kind.inner[0]
    held: list[FloatList | DoubleList | None] = []
    for value in messages:
        chosen = None if value is None else getattr(value, str(value.WhichOneof("val")))
        held.append(chosen)
    raw = [
        b"" if one is None or not one.val else one.SerializeToString()[-len(one.val) * inner.width :] for one in held
    ]
    sizes = np.array([len(one) // inner.width for one in raw], np.int64)
    offsets = np.concatenate(([0], np.cumsum(sizes))).astype(np.int32)
    flat = pa.array(np.frombuffer(b"".join(raw), inner.numpy))
    null = pa.array([one is None for one in held], pa.bool_())
    return pa.ListArray.from_arrays(pa.array(offsets), flat, mask=null)


def _answered(kind: ValueType) -> pa.DataType:
    """The Arrow type of an answer; maps inside are of texts."""
    found = natural(kind)
    if found is not None:
        return found
    if kind.shape == "struct":
        return pa.struct([(name, _answered(one)) for name, one in zip(kind.names, kind.inner, strict=True)])
    if kind.shape in ("array", "set"):
        return pa.list_(_answered(kind.inner[0]))
    return pa.map_(pa.string(), pa.string())


def _texts(kind: ValueType, value: Any) -> Any:  # noqa: ANN401 - a Python value of any type
    """The value with the maps inside of it as pairs of texts."""
    if value is None or natural(kind) is not None:
        return value
    if kind.shape == "struct":
        return {name: _texts(one, value[name]) for name, one in zip(kind.names, kind.inner, strict=True)}
    if kind.shape in ("array", "set"):
        return [_texts(kind.inner[0], one) for one in value]
    return [(str(key), _json(one)) for key, one in _pairs(value)]


def _maps(maps: list[dict[Any, Any] | None]) -> pa.Array:
    known = [one for one in maps if one is not None]
    keys = _one_type([key for one in known for key in one])
    values = _one_type([value for one in known for value in one.values()])
    pairs = [
        None
        if one is None
        else [(key if keys else str(key), value if values else _json(value)) for key, value in _pairs(one)]
        for one in maps
    ]
    return pa.array(pairs, pa.map_(keys or pa.string(), values or pa.string()))


def _lists_of_maps(lists: list[list[dict[Any, Any]] | None]) -> pa.Array:
    flat = _maps([one for some in lists if some is not None for one in some])
    sizes = [0 if some is None else len(some) for some in lists]
    offsets = pa.array(np.concatenate(([0], np.cumsum(sizes))).astype(np.int32))
    return pa.ListArray.from_arrays(offsets, flat, mask=pa.array([some is None for some in lists], pa.bool_()))


def _pairs(one: dict[Any, Any]) -> list[tuple[Any, Any]]:
    """A map's entries by name; protobuf gives them in any order. Those of a scalar map are stored in order."""
    named = all(isinstance(key, str) for key in one)
    return sorted(one.items(), key=lambda pair: pair[0]) if named else list(one.items())


def _one_type(values: list[Any]) -> pa.DataType | None:
    """The Arrow type of values of one Python type that holds all of them exactly, if there is one."""
    if len({type(value) for value in values if value is not None}) > 1 or any(isinstance(one, dict) for one in values):
        return None
    try:
        found = pa.array(values).type
    except (pa.ArrowException, OverflowError):
        return None
    return None if pa.types.is_null(found) else found


def _json(value: Any) -> str | None:  # noqa: ANN401
    return None if value is None else json.dumps(value, default=str, sort_keys=True)
