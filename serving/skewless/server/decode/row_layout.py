"""A section: one view's rows of one schema and width, compiled to where each value that is wanted lies in their bytes.

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
    """A value that a row holds and a slot wants: at which byte, of which dtype, and its null bit."""

    slot: int
    offset: int
    dtype: str
    bit: int


class RowSection(NamedTuple):
    """Rows of one form, `width` bytes long before their texts; `end_offset` is where the end of the last text stands
    (NO_TEXTS: there are none).

    `form` is the schema's fingerprint and the flags of a living row. `lacking` are wanted slots that the schema has
    nothing for. `absent` stands for an entity without a row: not known before the end of time, and all null.
    """

    form: bytes
    width: int
    null_bytes: int
    held: tuple[FieldSlot, ...]
    lacking: tuple[int, ...]
    end_offset: int
    absent: bytes


def compile_sections(schema: Schema, wanted: Mapping[Field, Sequence[int]]) -> tuple[RowSection, ...]:
    """A section for each width of the schema's rows, the usual (narrow) one last. `wanted`: the slots of each feature."""
    layout = RowLayout(schema)
    return tuple(_compiled(layout, flags, wanted) for flags in layout.records)


def _compiled(layout: RowLayout, flags: int, wanted: Mapping[Field, Sequence[int]]) -> RowSection:
    schema, record = layout.schema, layout.records[flags]
    null_bytes = -(-len(schema) // 8)
    lies = [record.fields[f"v{index}"] for index in range(len(schema))]  # type: ignore[index]
    held = tuple(
        FieldSlot(slot, lies[index][1], str(lies[index][0].str), index)
        for index, field in enumerate(schema)
        for slot in wanted.get(field, ())
    )
    lacking = {slot for slots in wanted.values() for slot in slots} - {one.slot for one in held}
    form = layout.fingerprint + bytes([flags])
    tail = record.itemsize - HEADER_WIDTH - null_bytes
    return RowSection(
        form=form,
        width=record.itemsize,
        null_bytes=null_bytes,
        held=held,
        lacking=tuple(sorted(lacking)),
        end_offset=lies[layout.texts[-1]][1] if layout.texts else NO_TEXTS,
        absent=NO_ORDER + form + b"\xff" * null_bytes + bytes(tail),
    )
