"""The Arrow types that can represent the values of a feature's type, in a table and in a result.

Held by tests/offline/values/test_feast_messages.py.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

import pyarrow as pa

from skewless.contract.timestamp_arrays import UTC_TIMESTAMP
from skewless.contract.value_types import ValueType, value_type
from skewless.offline.values.exact_values import convertible

_TEXT_TYPES = {"Uuid", "TimeUuid", "Decimal"}


def holds(declared: pa.DataType, stored: pa.DataType) -> bool:
    """Whether a column of the type `stored` may be read as `declared`. A float64 may be rounded to the nearest float32. Arrow
    would cast more: a text to the number that it spells, a number to its text.
    """
    if pa.types.is_dictionary(stored):
        return holds(declared, stored.value_type)
    if pa.types.is_null(stored):
        return True
    if pa.types.is_floating(declared):
        return bool(pa.types.is_floating(stored))
    if pa.types.is_timestamp(declared):
        return bool(pa.types.is_timestamp(stored) or pa.types.is_date(stored))
    return any(family(declared) and family(stored) for family in _FAMILIES)


def holds_value(declared: ValueType, stored: pa.DataType) -> bool:
    """Whether a column of the type `stored` holds values of the feature type `declared`.

    A struct may lack fields, which are then null, and have additional fields, which are ignored; a map may be a struct, and
    both may be JSON, as in Feast.
    """
    if pa.types.is_null(stored):
        return True
    if declared.shape in ("array", "set"):
        return _is_list(stored) and holds_value(declared.inner[0], stored.value_type)
    if declared.shape == "struct":
        return is_text(stored) or pa.types.is_map(stored) or _holds_fields(declared, stored)
    special = _SPECIAL.get(declared.name)
    return special(stored) if special else holds(declared.arrow, stored)


def takes_value(declared: ValueType, stored: pa.DataType) -> bool:
    """Whether a column of the type `stored` may hold values of the feature type `declared`, each of which must be exact."""
    exact = declared.encoding == "fixed" and convertible(declared.arrow, stored)
    return exact or holds_value(declared, stored)


def numbers_as_text(declared: ValueType, stored: pa.DataType) -> bool:
    """Whether a join key that is declared as text is stored as integers. Feast then uses their decimal texts."""
    return declared.name == "String" and bool(pa.types.is_integer(stored))


def plain_layout(column: pa.Array) -> pa.Array:
    """Texts and bytes of a view layout in the common one, in lists and structs too: Arrow has no kernels that take rows of
    views.
    """
    plain = plain_type(column.type)
    return column if plain == column.type else column.cast(plain)


def plain_table(table: pa.Table) -> pa.Table:
    """A table with all columns in plain layout."""
    fields = [field.with_type(plain_type(field.type)) for field in table.schema]
    schema = pa.schema(fields, table.schema.metadata)
    return table if schema.equals(table.schema) else table.cast(schema)


def plain_type(kind: pa.DataType) -> pa.DataType:
    """The type of `plain_layout`."""
    if pa.types.is_string_view(kind):
        return pa.string()
    if pa.types.is_binary_view(kind):
        return pa.binary()
    if pa.types.is_list(kind):
        return pa.list_(kind.value_field.with_type(plain_type(kind.value_type)))
    if pa.types.is_struct(kind):
        fields = [kind.field(place) for place in range(kind.num_fields)]
        return pa.struct([field.with_type(plain_type(field.type)) for field in fields])
    return kind


def natural(kind: ValueType) -> pa.DataType | None:
    """The Arrow type of a feature type; None if it depends on the values (of a map). Feast's times are UTC in Arrow."""
    if kind.encoding != "value":
        return kind.arrow
    if kind.name == "ZonedTimestamp":
        return UTC_TIMESTAMP
    inner = [natural(inner_kind) for inner_kind in kind.inner]
    if not inner or None in inner:
        return None
    if kind.shape == "struct":
        return pa.struct(list(zip(kind.names, inner, strict=True)))
    return pa.list_(inner[0])


def text_type(kind: ValueType) -> pa.DataType | None:
    """The Arrow type of maps and structs as JSON texts; None for other values, and for maps whose keys are no texts."""
    if kind.shape in ("array", "set"):
        inner = text_type(kind.inner[0])
        return None if inner is None else pa.list_(inner)
    return pa.string() if kind.name == "Map" or kind.shape == "struct" else None


def mixed_maps(types: Collection[pa.DataType]) -> ValueType | None:
    """The type of maps, or of lists of maps, that files have in more than one form (a map, a struct, a JSON text); None for
    all other columns. `types` are the column's in the files.
    """
    inner = [arrow.value_type if _is_list(arrow) else arrow for arrow in types if not pa.types.is_null(arrow)]
    if len({(is_text(arrow), pa.types.is_map(arrow)) for arrow in inner}) < 2:
        return None
    kinds = (value_type("Map"), value_type("Array(Map)"))
    return next((kind for kind in kinds if all(holds_value(kind, arrow) for arrow in types)), None)


def as_texts(kind: ValueType, column: pa.Array) -> pa.Array:
    """UUIDs and decimals as the texts that Feast writes, whatever their Arrow type."""
    if kind.name not in _TEXT_TYPES or is_text(column.type) or pa.types.is_dictionary(column.type):
        return column
    return pa.array([None if value is None else str(value) for value in column.to_pylist()], pa.string())


def _holds_fields(declared: ValueType, stored: pa.DataType) -> bool:
    if not pa.types.is_struct(stored):
        return False
    stored_types = {stored.field(place).name: stored.field(place).type for place in range(stored.num_fields)}
    pairs = zip(declared.names, declared.inner, strict=True)
    known = [holds_value(kind, stored_types[name]) for name, kind in pairs if name in stored_types]
    return bool(known) and all(known)


def _is_list(kind: pa.DataType) -> bool:
    types = pa.types
    views = types.is_list_view(kind) or types.is_large_list_view(kind)
    return bool(views or types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def is_text(kind: pa.DataType) -> bool:
    """Whether values of the type are texts, in any of Arrow's layouts."""
    if pa.types.is_dictionary(kind):
        return is_text(kind.value_type)
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _is_bytes(kind: pa.DataType) -> bool:
    large = pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind)
    return bool(large or pa.types.is_binary(kind) or pa.types.is_fixed_size_binary(kind))


def _is_map(kind: pa.DataType) -> bool:
    named = pa.types.is_map(kind) and is_text(kind.key_type)
    return bool(named or pa.types.is_struct(kind) or is_text(kind))


def _is_scalar_map(kind: pa.DataType) -> bool:
    return bool(pa.types.is_map(kind) and not is_text(kind.key_type))


def _is_uuid(kind: pa.DataType) -> bool:
    return is_text(kind) or getattr(kind, "extension_name", "") == "arrow.uuid"


def _is_decimal(kind: pa.DataType) -> bool:
    return is_text(kind) or bool(pa.types.is_decimal(kind))


_FAMILIES = (pa.types.is_integer, pa.types.is_boolean, is_text, _is_bytes)
_SPECIAL: dict[str, Callable[[pa.DataType], bool]] = {
    "Map": _is_map,
    "ScalarMap": _is_scalar_map,
    "ZonedTimestamp": pa.types.is_timestamp,
    "Uuid": _is_uuid,
    "TimeUuid": _is_uuid,
    "Decimal": _is_decimal,
}
