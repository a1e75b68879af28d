"""Reads few rows of one view one after the other, as Python values, with `struct` instead of NumPy.

`RowReader` is the slow definition, which also reads every row that this one leaves to it.

Held by tests/contract/storage/test_row_values.py.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from skewless.contract.admission import MISSING
from skewless.contract.columns import EntityRows, Schema
from skewless.contract.plan import Field
from skewless.contract.storage.packed_row import RowLayout, layout_of
from skewless.contract.storage.row_header import BIAS, DELETED, FORM, HEADER_WIDTH, living, order_struct

Datum = int | float | bool | str | bytes
_FORMATS = {"<f4": "f", "<f8": "d", "<i4": "i", "<i8": "q", "|b1": "?", "<u4": "I"}
_order = order_struct(1).unpack_from


@dataclass(frozen=True, slots=True)
class PlainRows:
    """n rows as Python values; times in microseconds, MISSING where there is no row. `columns` has n values for each
    wanted feature, None where the row has none.
    """

    event: list[int]
    created: list[int]
    deleted: list[bool]
    columns: list[list[Datum | None]]


class _FieldPlace(NamedTuple):
    """Where a row has a wanted feature: its place among the unpacked values, and that of the text before it.

    `place` is -1 where the schema lacks the feature, `before` -1 for the first text and None for a number.
    """

    place: int
    before: int | None
    utf8: bool


class _RowForm(NamedTuple):
    """The rows of one form. `end`: the place of the last text's end, None without texts."""

    deleted: bool
    width: int
    values: struct.Struct
    null_bytes: slice
    end: int | None
    fields: tuple[_FieldPlace, ...]


class RowValues:
    """Compiled from the schemas that rows were written with and the features that are wanted."""

    def __init__(self, wanted: Schema, schemas: Sequence[Schema]) -> None:
        self._wanted = wanted
        self._layouts: dict[bytes, RowLayout] = {}
        self._forms: dict[bytes, _RowForm] = {}
        for schema in schemas:
            self.learn(schema)

    def learn(self, schema: Schema) -> None:
        """Make the rows of `schema` readable."""
        layout = layout_of(schema)
        for flags in layout.records:
            self._layouts[layout.fingerprint + bytes([flags])] = layout

    def read(self, rows: Sequence[bytes | None]) -> PlainRows | None:
        """The rows of n entities; None where `RowReader` must decide: a row is corrupt, or of a schema that was not learnt."""
        plain = PlainRows([], [], [], [[] for _ in self._wanted])
        for row in rows:
            if not self._append(row, plain):
                return None
        return plain

    def _append(self, row: bytes | None, plain: PlainRows) -> bool:
        """Append a row; False where it is left to `RowReader`."""
        if row is None:
            plain.event.append(MISSING)
            plain.created.append(MISSING)
            plain.deleted.append(False)
            for column in plain.columns:
                column.append(None)
            return True
        form = self._forms.get(row[FORM]) or self._form(row[FORM])
        if form is None or len(row) < form.width:
            return False
        values = form.values.unpack_from(row, HEADER_WIDTH)
        if len(row) != form.width + (0 if form.end is None else values[form.end]):
            return False
        nulls = int.from_bytes(row[form.null_bytes], "little")
        for field, column in zip(form.fields, plain.columns, strict=True):
            place, before, utf8 = field
            if place < 0 or nulls >> place & 1:
                column.append(None)
            elif before is None:
                column.append(values[place])
            else:
                start, end = form.width + (values[before] if before >= 0 else 0), form.width + values[place]
                if not form.width <= start <= end <= len(row):
                    return False
                try:
                    column.append(row[start:end].decode() if utf8 else row[start:end])
                except UnicodeDecodeError:
                    return False
        event, created = _order(row)
        plain.event.append(event - BIAS)
        plain.created.append(created - BIAS)
        plain.deleted.append(form.deleted)
        return True

    def _form(self, form: bytes) -> _RowForm | None:
        """Compile a form; None where it is not known."""
        alive = living(form)
        layout = self._layouts.get(alive)
        if layout is None:
            return None
        record = layout.records[alive[-1]]
        kinds = [record.fields[f"v{index}"][0].str for index in range(len(layout.schema))]  # type: ignore[index]
        null_bytes = -(-len(layout.schema) // 8)
        self._forms[form] = _RowForm(
            deleted=bool(form[-1] & DELETED),
            width=record.itemsize,
            values=struct.Struct(f"<{null_bytes}x" + "".join(_FORMATS[kind] for kind in kinds)),
            null_bytes=slice(HEADER_WIDTH, HEADER_WIDTH + null_bytes),
            end=layout.texts[-1] if layout.texts else None,
            fields=tuple(_place(layout, field) for field in self._wanted),
        )
        return self._forms[form]


def _place(layout: RowLayout, field: Field) -> _FieldPlace:
    if field not in layout.schema:
        return _FieldPlace(-1, None, utf8=False)
    place = layout.schema.index(field)
    kind = layout.types[place]
    if not kind.text:
        return _FieldPlace(place, None, utf8=False)
    before = [text for text in layout.texts if text < place]
    return _FieldPlace(place, before[-1] if before else -1, utf8=kind.encoding == "utf8")


def plain_rows(rows: EntityRows) -> PlainRows:
    """Rows that `RowReader` has read, as Python values."""
    columns: list[list[Datum | None]] = []
    for column in rows.columns:
        data = column.data.tolist()
        valid = column.valid.tolist()
        columns.append(data if all(valid) else [d if v else None for d, v in zip(data, valid, strict=True)])
    return PlainRows(rows.event.tolist(), rows.created.tolist(), rows.deleted.tolist(), columns)
