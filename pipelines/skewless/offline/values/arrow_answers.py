"""Value messages as Arrow columns: lists, sets, maps and structs in the result of `get_historical_features`.

A map has the type of its table's column: a map, a struct or a JSON text. Where there is none, it has the common type of its
values; if they have none, and inside structs and lists of lists, its values are JSON texts. A set is a list, sorted as it is
stored. A zoned time is its instant in UTC, as Feast has it in Arrow.

Held by tests/offline/values/test_feast_messages.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa
from feast.protos.feast.types.Value_pb2 import DoubleList, FloatList, Value

from skewless.contract.columns import ColumnValues, column_values
from skewless.contract.storage.served_row import to_arrow
from skewless.contract.value_types import ValueType
from skewless.offline.values.column_types import is_text, natural
from skewless.offline.values.feast_messages import messages, plain

_MAPS = {"Map", "ScalarMap"}


def answer(kind: ValueType, values: ColumnValues, stored: pa.DataType | None = None) -> pa.Array:
    """A feature's values as a column of the result; null where not valid. `stored` is the type of a map's column in its
    table: so a row's map is the same whatever rows are asked for with it.
    """
    if kind.encoding != "value":
        return to_arrow(kind, values)
    pairs = zip(values.data.tolist(), values.valid.tolist(), strict=True)
    present = [Value.FromString(datum) if is_valid else None for datum, is_valid in pairs]
    if kind.shape == "array" and kind.inner[0].name in ("Float32", "Float64"):
        return _float_lists(kind, present)
    values_in_python = [None if value is None else plain(kind, value) for value in present]
    if stored is not None and natural(kind) is None:
        return pa.array([_like(stored, value) for value in values_in_python], stored)
    if kind.name in _MAPS:
        return _maps(values_in_python)
    if kind.shape == "array" and kind.inner[0].name in _MAPS:
        return _lists_of_maps(values_in_python)
    return pa.array([_texts(kind, value) for value in values_in_python], _answer_type(kind))


def in_type(kind: ValueType, packed: pa.Array, stored: pa.DataType) -> pa.Array:
    """Messages as a column of the type `stored`. Raises: one of REFUSALS where it does not hold them exactly."""
    column = answer(kind, column_values(kind, packed), stored)
    if not messages(kind, column).equals(packed):
        raise ValueError(f"{stored} does not hold all keys and values")
    return column


def decided_by_values(kind: ValueType) -> bool:
    """Whether the Arrow type of a feature's column depends on its values, so it is known only after all of them are read."""
    return kind.name in _MAPS or (kind.shape == "array" and kind.inner[0].name in _MAPS)


def _like(stored: pa.DataType, value: Any) -> Any:  # noqa: ANN401 - a Python value of any type
    """A value as Arrow takes it for a column of the stored type: maps as pairs."""
    if value is None:
        return None
    if pa.types.is_list(stored):
        return [_like(stored.value_type, item) for item in value]
    if pa.types.is_map(stored):
        return [(key, _like(stored.item_type, item)) for key, item in _pairs(value)]
    if pa.types.is_struct(stored):
        return {field.name: _like(field.type, value.get(field.name)) for field in stored}
    return _json(value) if isinstance(value, dict) and is_text(stored) else value


def _float_lists(kind: ValueType, messages: Iterable[Value | None]) -> pa.Array:
    """Lists of floats bit for bit: a float32 that is converted to a Python float may lose the payload of a NaN."""
    inner = kind.inner[0]
    lists: list[FloatList | DoubleList | None] = []
    for value in messages:
        value_list = None if value is None else getattr(value, str(value.WhichOneof("val")))
        lists.append(value_list)
    raw = [
        b"" if item is None or not item.val else item.SerializeToString()[-len(item.val) * inner.width :]
        for item in lists
    ]
    sizes = np.array([len(item) // inner.width for item in raw], np.int64)
    offsets = np.concatenate(([0], np.cumsum(sizes))).astype(np.int32)
    flat = pa.array(np.frombuffer(b"".join(raw), inner.numpy))
    null = pa.array([item is None for item in lists], pa.bool_())
    return pa.ListArray.from_arrays(pa.array(offsets), flat, mask=null)


def _answer_type(kind: ValueType) -> pa.DataType:
    """The Arrow type of a column; nested maps have text keys and values."""
    arrow_type = natural(kind)
    if arrow_type is not None:
        return arrow_type
    if kind.shape == "struct":
        return pa.struct([(name, _answer_type(inner)) for name, inner in zip(kind.names, kind.inner, strict=True)])
    if kind.shape in ("array", "set"):
        return pa.list_(_answer_type(kind.inner[0]))
    return pa.map_(pa.string(), pa.string())


def _texts(kind: ValueType, value: Any) -> Any:  # noqa: ANN401 - a Python value of any type
    """The value with its nested maps as pairs of texts."""
    if value is None or natural(kind) is not None:
        return value
    if kind.shape == "struct":
        return {name: _texts(item, value[name]) for name, item in zip(kind.names, kind.inner, strict=True)}
    if kind.shape in ("array", "set"):
        return [_texts(kind.inner[0], item) for item in value]
    return [(str(key), _json(item)) for key, item in _pairs(value)]


def _maps(maps: list[dict[Any, Any] | None]) -> pa.Array:
    present = [map_ for map_ in maps if map_ is not None]
    keys = _common_type([key for map_ in present for key in map_])
    values = _common_type([value for map_ in present for value in map_.values()])
    pairs = [
        None
        if map_ is None
        else [(key if keys else str(key), value if values else _json(value)) for key, value in _pairs(map_)]
        for map_ in maps
    ]
    return pa.array(pairs, pa.map_(keys or pa.string(), values or pa.string()))


def _lists_of_maps(lists: list[list[dict[Any, Any]] | None]) -> pa.Array:
    flat = _maps([item for items in lists if items is not None for item in items])
    sizes = [0 if items is None else len(items) for items in lists]
    offsets = pa.array(np.concatenate(([0], np.cumsum(sizes))).astype(np.int32))
    return pa.ListArray.from_arrays(offsets, flat, mask=pa.array([items is None for items in lists], pa.bool_()))


def _pairs(entries: dict[Any, Any]) -> list[tuple[Any, Any]]:
    """A map's entries sorted by name, since protobuf has no order; entries of a scalar map in their stored order."""
    named = all(isinstance(key, str) for key in entries)
    return sorted(entries.items(), key=lambda pair: pair[0]) if named else list(entries.items())


def _common_type(values: list[Any]) -> pa.DataType | None:
    """The Arrow type that represents all values exactly, if they have the same Python type; else None."""
    if len({type(value) for value in values if value is not None}) > 1 or any(
        isinstance(value, dict) for value in values
    ):
        return None
    try:
        arrow_type = pa.array(values).type
    except (pa.ArrowException, OverflowError):
        return None
    return None if pa.types.is_null(arrow_type) else arrow_type


def _json(value: Any) -> str | None:  # noqa: ANN401
    return None if value is None else json.dumps(value, default=str, sort_keys=True)
