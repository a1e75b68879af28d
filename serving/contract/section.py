"""A section: one view's rows of one schema and width, compiled to where each column of the model lies in their bytes."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serving.contract.plan import Field
from serving.contract.row import Layout, Schema

HEADER_WIDTH = 21
ORDER_WIDTH = 16
NO_TEXTS = -1
_HEADER = "<16s4sB"
_VALUES = 4
"""Unpacked, a row is: order, schema, flags, nulls, then its values."""
_FORMATS = {"<f4": "f", "<f8": "d", "<i4": "i", "<i8": "q", "|b1": "?"}
Columns = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Held:
    """A feature that a schema holds and columns want: at which byte, as what, and its place among unpacked values."""

    columns: Columns
    offset: int
    dtype: str
    place: int
    bit: int


@dataclass(frozen=True, slots=True)
class Section:
    """Rows of one schema, `width` bytes long before their texts. `columns` are all that the view fills; `flags` those of
    a living row.

    `lacking` are those of them that the schema lacks; `end` is the place, among the unpacked values, of the end of
    the last text, and `end_offset` its byte (NO_TEXTS: there are none). `absent` stands for an entity without a row:
    not known before the end of time, and all null.
    """

    fingerprint: bytes
    flags: int
    width: int
    null_bytes: int
    unpack: Callable[[bytes], tuple[Any, ...]]
    length: int
    held: tuple[Held, ...]
    end: int
    end_offset: int
    no_nulls: bytes
    columns: Columns
    lacking: Columns
    absent: bytes


def compile_sections(schema: Schema, wanted: Mapping[Field, Sequence[int]]) -> tuple[Section, ...]:
    """A section for each width of the schema's rows, the usual (narrow) one last.

    `wanted`: the columns of the model that each feature fills.
    """
    layout = Layout(schema)
    return tuple(_compiled(layout, flags, wanted) for flags in layout.records)


def _compiled(layout: Layout, flags: int, wanted: Mapping[Field, Sequence[int]]) -> Section:
    schema, record = layout.schema, layout.records[flags]
    null_bytes = -(-len(schema) // 8)
    lies = [record.fields[f"v{index}"] for index in range(len(schema))]  # type: ignore[index]
    offsets, dtypes = [one[1] for one in lies], [str(one[0].str) for one in lies]
    last = layout.texts[-1] if layout.texts else NO_TEXTS
    text, place, end, held = f"{_HEADER}{null_bytes}s", _VALUES, NO_TEXTS, []
    for index, (field, dtype) in enumerate(zip(schema, dtypes, strict=True)):
        columns = np.array(wanted.get(field, ()), np.intp)
        if index == last:
            text, end, place = text + "I", place, place + 1
        elif len(columns):
            held.append(Held(columns, offsets[index], dtype, place, index))
            text, place = text + _FORMATS[dtype], place + 1
        else:
            text += f"{np.dtype(dtype).itemsize}x"
    every = [column for columns in wanted.values() for column in columns]
    found = {column for one in held for column in one.columns.tolist()}
    packed = struct.Struct(text)
    tail = packed.size - HEADER_WIDTH - null_bytes
    return Section(
        fingerprint=layout.fingerprint,
        flags=flags,
        width=packed.size,
        null_bytes=null_bytes,
        unpack=packed.unpack_from,
        length=place,
        held=tuple(held),
        end=end,
        end_offset=offsets[last] if layout.texts else NO_TEXTS,
        no_nulls=bytes(null_bytes),
        columns=np.array(every, np.intp),
        lacking=np.array([column for column in every if column not in found], np.intp),
        absent=b"\xff" * ORDER_WIDTH + layout.fingerprint + bytes([flags]) + b"\xff" * null_bytes + bytes(tail),
    )


def null_columns(section: Section, nulls: bytes) -> list[Columns]:
    """The columns that a row's null bits blank."""
    bits = int.from_bytes(nulls, "little")
    return [one.columns for one in section.held if bits >> one.bit & 1]
