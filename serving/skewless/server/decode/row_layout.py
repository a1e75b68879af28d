"""A section: the compiled layout of one view's rows of one schema and width, with the offset of each needed value.

Held by tests/server/decode/test_decoder.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from skewless.contract.columns import Schema
from skewless.contract.plan import Field
from skewless.contract.storage.packed_row import RowLayout
from skewless.contract.storage.row_header import HEADER_WIDTH, NO_ORDER

NO_TEXTS = -1


class FieldSlot(NamedTuple):
    """A stored value and the slot that it fills: its offset in the row, dtype and null bit."""

    slot: int
    offset: int
    dtype: str
    bit: int


class RowSection(NamedTuple):
    """The layout of rows of one form, `width` bytes long without their texts; `end_offset` is the offset of the last
    text's end (NO_TEXTS: the schema has none).

    `form` is the schema's fingerprint and the flags of a living row. `missing` are slots whose feature the schema does
    not have. `absent` is the row of an entity without one: not known before the end of time, and all null.
    """

    form: bytes
    width: int
    null_bytes: int
    stored: tuple[FieldSlot, ...]
    missing: tuple[int, ...]
    end_offset: int
    absent: bytes


def compile_sections(schema: Schema, wanted: Mapping[Field, Sequence[int]]) -> tuple[RowSection, ...]:
    """A section for each width of the schema's rows, the usual (narrow) one last. `wanted`: the slots that each feature fills."""
    layout = RowLayout(schema)
    return tuple(_section(layout, flags, wanted) for flags in layout.records)


def _section(layout: RowLayout, flags: int, wanted: Mapping[Field, Sequence[int]]) -> RowSection:
    schema, record = layout.schema, layout.records[flags]
    null_bytes = -(-len(schema) // 8)
    positions = [record.fields[f"v{index}"] for index in range(len(schema))]  # type: ignore[index]
    stored = tuple(
        FieldSlot(slot, positions[index][1], str(positions[index][0].str), index)
        for index, field in enumerate(schema)
        for slot in wanted.get(field, ())
    )
    missing = {slot for slots in wanted.values() for slot in slots} - {field.slot for field in stored}
    form = layout.fingerprint + bytes([flags])
    tail = record.itemsize - HEADER_WIDTH - null_bytes
    return RowSection(
        form=form,
        width=record.itemsize,
        null_bytes=null_bytes,
        stored=stored,
        missing=tuple(sorted(missing)),
        end_offset=positions[layout.texts[-1]][1] if layout.texts else NO_TEXTS,
        absent=NO_ORDER + form + b"\xff" * null_bytes + bytes(tail),
    )
