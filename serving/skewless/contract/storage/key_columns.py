"""Entity keys of whole Arrow columns, without a Python value for each; `EntityKeyEncoder.encode` is the definition."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skewless.contract.errors import InvalidInput
from skewless.contract.plan import PlanView
from skewless.contract.storage.entity_key import EntityKeyEncoder, key_head
from skewless.contract.storage.packed_row import fixed_width
from skewless.contract.timestamps import SECOND_US
from skewless.contract.value_types import ValueType, value_type


class KeyColumnPacker:
    """Compiled from a view's join keys; `pack` gets the columns in the view's order. Raises: InvalidInput."""

    def __init__(self, project: str, view: PlanView) -> None:
        names, dtypes = [key.key for key in view.join_keys], [key.dtype for key in view.join_keys]
        self._encoder = EntityKeyEncoder(project, names, dtypes)
        self._ranked = sorted(range(len(names)), key=names.__getitem__)
        self._types = [(name, value_type(dtype)) for name, dtype in zip(names, dtypes, strict=True)]
        self._head, self._tail = key_head(names), project.encode()

    def pack(self, columns: Sequence[pa.Array], rows: int) -> pa.BinaryArray:
        """The keys of `rows` entities; null where a value is. Raises: InvalidInput."""
        if not columns:
            return pa.repeat(pa.scalar(self._encoder.encode_rows([], 1)[0], pa.binary()), rows)
        parts: list[pa.BinaryArray | bytes] = [self._head]
        for position in self._ranked:
            parts += _packed(*self._types[position], columns[position])
        return pc.binary_join_element_wise(*parts, self._tail, b"", null_handling="emit_null")


def _packed(name: str, kind: ValueType, column: pa.Array) -> list[pa.BinaryArray]:
    """The type and length of each value, then its bytes."""
    if kind.text:
        texts = column.cast(pa.binary())
        lengths = pc.binary_length(texts).fill_null(0).to_numpy(zero_copy_only=False)
        heads = np.empty(len(texts), [("number", "<u4"), ("length", "<u4")])
        heads["number"], heads["length"] = kind.number, lengths
        return [fixed_width(heads), texts]
    values = column.cast(kind.arrow)
    if kind.name == "UnixTimestamp":
        values = values.cast(pa.int64())
    integers = values.fill_null(0).to_numpy(zero_copy_only=False)
    if kind.name == "UnixTimestamp":
        integers, rest = np.divmod(integers, SECOND_US)
        if rest.any():
            fraction = values[int(np.flatnonzero(rest)[0])].as_py()
            raise InvalidInput(name, f"{fraction} is no join key of type {kind.name}")
    records = np.empty(len(values), [("number", "<u4"), ("length", "<u4"), ("value", kind.numpy)])
    records["number"], records["length"], records["value"] = kind.number, kind.width, integers
    packed = fixed_width(records)
    return [pc.if_else(values.is_valid(), packed, pa.scalar(None, pa.binary())) if values.null_count else packed]
