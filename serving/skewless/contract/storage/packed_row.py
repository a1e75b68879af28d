"""The packed row: all values of one view for one entity, as stored in Redis.

Layout, little-endian unless said otherwise:

    header   21  order, schema and flags: see `row_header`
    nulls     n  one bit a feature, least significant first; 1 is null
    values       fixed-width values in schema order; a text has the end offset of its bytes here. In a narrow row
                 each Int64 takes 4 bytes instead of 8: a row is narrow iff its schema has one and all of them fit
    bodies       the bytes of the texts, one after the other; those of a list, set, map, struct or zoned time are
                 Feast's Value message, serialized deterministically

A row's bytes are a function of its times and values alone, since ties are broken by bytes; wide rows of older versions
are read all the same. Rows of one schema and width share the length of everything before `bodies`, so a batch decodes
as one NumPy record array.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from skewless.contract.admission import MISSING
from skewless.contract.columns import ColumnValues, EntityRows, Flags, Schema, absent, numbers
from skewless.contract.errors import CorruptRow, UnknownSchema
from skewless.contract.storage.row_header import (
    FLAGS,
    FORM,
    HEADER_FIELDS,
    HEADER_WIDTH,
    LIVING,
    NARROW,
    SCHEMA_WIDTH,
    TOMBSTONE,
    biased,
    tombstones,
    unbiased,
)
from skewless.contract.timestamp_arrays import UtcMicrosArray
from skewless.contract.value_types import ValueType, value_type

_NARROWED = value_type("Int32")


def fingerprint(schema: Schema) -> bytes:
    """The bytes that name a schema: its feature names and types in order."""
    text = "\n".join(f"{field.name}:{field.dtype}" for field in schema)
    return hashlib.sha256(text.encode()).digest()[:SCHEMA_WIDTH]


class RowLayout:
    """The layout of a schema's rows; `layout_of` has it compiled."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self.fingerprint = fingerprint(schema)
        self.types: tuple[ValueType, ...] = tuple(value_type(f.dtype, feature=f.name) for f in schema)
        self.texts = tuple(index for index, kind in enumerate(self.types) if kind.text)
        self._integers = tuple(index for index, kind in enumerate(self.types) if kind.name == "Int64")
        self.records: dict[int, np.dtype[np.void]] = {0: self._record(self.types)}
        """The dtype of a row without its bodies: wide rows by 0 and, where the schema has an Int64, narrow ones by NARROW."""
        if self._integers:
            self.records[NARROW] = self._record([_NARROWED if kind.name == "Int64" else kind for kind in self.types])

    def _record(self, types: Sequence[ValueType]) -> np.dtype[np.void]:
        parts: list[tuple[str, object]] = [*HEADER_FIELDS]
        parts.append(("nulls", ("u1", (-(-len(types) // 8),))))
        parts += [(f"v{i}", "<u4" if kind.text else kind.numpy) for i, kind in enumerate(types)]
        return np.dtype(parts)

    def encode(
        self, event: UtcMicrosArray, created: UtcMicrosArray, deleted: Flags, columns: Sequence[pa.Array]
    ) -> list[bytes]:
        """`pack`, as Python bytes."""
        rows: list[bytes] = self.pack(event, created, deleted, columns).to_pylist()
        return rows

    def pack(
        self, event: UtcMicrosArray, created: UtcMicrosArray, deleted: Flags, columns: Sequence[pa.Array]
    ) -> pa.BinaryArray:
        """Pack n rows, without a Python value for each. `columns` are Arrow arrays of n values in schema order."""
        narrow = self._fits(columns, len(event))
        if narrow.all() or not narrow.any():
            return self._pack(NARROW if narrow.any() else 0, event, created, deleted, columns)
        parts, places = [], []
        for form, some in ((NARROW, narrow), (0, ~narrow)):
            places.append(np.flatnonzero(some))
            selected = [column.take(pa.array(places[-1])) for column in columns]
            parts.append(self._pack(form, event[some], created[some], deleted[some], selected))
        return pa.concat_arrays(parts).take(pa.array(np.argsort(np.concatenate(places))))

    def _fits(self, columns: Sequence[pa.Array], rows: int) -> Flags:
        """Which rows are narrow."""
        fits = np.full(rows, bool(self._integers))
        for index in self._integers:
            values = numbers(self.types[index], columns[index])
            fits &= values == values.astype("<i4")
        return fits

    def _pack(
        self, form: int, event: UtcMicrosArray, created: UtcMicrosArray, deleted: Flags, columns: Sequence[pa.Array]
    ) -> pa.BinaryArray:
        records = np.zeros(len(event), self.records[form])
        records["event"] = biased(event)
        records["created"] = biased(created)
        records["schema"] = np.frombuffer(self.fingerprint, records.dtype["schema"])[0]
        records["flags"] = np.where(deleted, TOMBSTONE | form, form)
        nulls = np.zeros((len(event), len(self.types)), bool)
        bodies: list[pa.BinaryArray] = []
        end = np.zeros(len(event), np.uint32)
        for index, (kind, column) in enumerate(zip(self.types, columns, strict=True)):
            if column.null_count:
                nulls[:, index] = column.is_null().to_numpy(zero_copy_only=False)
            if kind.text:
                bodies.append(column.cast(pa.binary()).fill_null(b""))
                end = end + pc.binary_length(bodies[-1]).to_numpy(zero_copy_only=False).astype(np.uint32)
                records[f"v{index}"] = end
            else:
                records[f"v{index}"] = numbers(kind, column)
        records["nulls"] = np.packbits(nulls, axis=1, bitorder="little")
        heads = fixed_width(records)
        return pc.binary_join_element_wise(heads, *bodies, b"") if bodies else heads

    def decode(self, view: str, rows: Sequence[bytes], wanted: Schema) -> EntityRows:
        """Unpack rows of this schema and of the first row's flags into the `wanted` features.

        A feature that the schema does not have, or has with another type, is null. Raises: CorruptRow.
        """
        records = self._records(view, rows)
        present = ~np.unpackbits(records["nulls"], axis=1, bitorder="little").astype(bool)
        places = {field: index for index, field in enumerate(self.schema)}
        columns = []
        for field in wanted:
            index = places.get(field)
            if index is None:
                columns.append(absent(value_type(field.dtype), len(rows)))
            else:
                valid = present[:, index]
                data = records[f"v{index}"]
                if self.types[index].text:
                    data = self._texts(view, rows, records, index, valid)
                columns.append(ColumnValues(data.astype(self.types[index].numpy, copy=False), valid))
        event, created = unbiased(records["event"]), unbiased(records["created"])
        return EntityRows(event, created, tombstones(records["flags"]), tuple(columns))

    def _records(self, view: str, rows: Sequence[bytes]) -> NDArray[np.void]:
        """The rows without their bodies, as records. Raises: CorruptRow where a length or a flag is wrong."""
        flags = rows[0][FLAGS] if rows else b"\0"
        record = self.records.get(LIVING.get(flags[0], -1)) if flags else self.records[0]
        if record is None:
            raise CorruptRow(view, "a row has flags that this version does not know")
        width = record.itemsize
        heads = b"".join([row[:width] for row in rows] if self.texts else rows)
        if len(heads) != width * len(rows):
            raise CorruptRow(view, f"a row of schema {self.fingerprint.hex()} is not {width} bytes long")
        records = np.frombuffer(heads, record)
        ends = records[f"v{self.texts[-1]}"].tolist() if self.texts else [0] * len(rows)
        if any(len(row) != width + end for row, end in zip(rows, ends, strict=True)):
            raise CorruptRow(view, f"a row of schema {self.fingerprint.hex()} is cut short or too long")
        if heads[FLAGS.start :: width].strip(flags):
            raise CorruptRow(view, "rows have flags of their own")
        return records

    def _texts(
        self, view: str, rows: Sequence[bytes], records: NDArray[np.void], index: int, valid: Flags
    ) -> NDArray[np.object_]:
        width, utf8 = records.itemsize, self.types[index].encoding == "utf8"
        place = self.texts.index(index)
        ends = records[f"v{index}"].tolist()
        starts = records[f"v{self.texts[place - 1]}"].tolist() if place else [0] * len(rows)
        data = np.empty(len(rows), object)
        for position in np.flatnonzero(valid).tolist():
            row, start, end = rows[position], starts[position], ends[position]
            if not start <= end <= len(row) - width:
                raise CorruptRow(view, f"the text of {self.schema[index].name} ends outside of the row")
            body = row[width + start : width + end]
            try:
                data[position] = body.decode() if utf8 else body
            except UnicodeDecodeError as error:
                raise CorruptRow(view, f"the text of {self.schema[index].name} is not UTF-8") from error
        return data


@lru_cache(maxsize=256)
def layout_of(schema: Schema) -> RowLayout:
    """The layout of a schema's rows, which a process compiles once. Raises: UnsupportedType."""
    return RowLayout(schema)


def fixed_width(records: NDArray[np.generic]) -> pa.BinaryArray:
    """The bytes of each of n records, or of each row of a matrix of bytes."""
    width = records[:1].nbytes if len(records) else 1
    fixed = pa.FixedSizeBinaryArray.from_buffers(pa.binary(width), len(records), [None, pa.py_buffer(records)])
    return fixed.cast(pa.binary())


class RowReader:
    """Decodes the rows of one view into the features that a plan reads, whatever schemas they were written with.

    `wanted` are the features in the order of `EntityRows.columns`. `learn` adds a schema; a row of an unknown schema
    raises UnknownSchema, so that the caller can look it up once and try again.
    """

    def __init__(self, view: str, wanted: Schema, schemas: Sequence[Schema] = ()) -> None:
        self._view, self._wanted = view, wanted
        self._types = tuple(value_type(field.dtype, feature=field.name) for field in wanted)
        self._layouts: dict[bytes, RowLayout] = {}
        for schema in schemas:
            self.learn(schema)

    def learn(self, schema: Schema) -> None:
        """Make the rows of `schema` readable."""
        layout = layout_of(schema)
        self._layouts[layout.fingerprint] = layout

    def read(self, rows: Sequence[bytes | None]) -> EntityRows:
        """Decode the rows of n entities; None is an entity without a row. Raises: CorruptRow, UnknownSchema."""
        places: dict[bytes, list[int]] = {}
        for position, row in enumerate(rows):
            if row is not None:
                places.setdefault(row[FORM], []).append(position)
        if len(places) == 1:
            ((only, positions),) = places.items()
            if len(positions) == len(rows):
                return self._layout(only, rows[0]).decode(self._view, rows, self._wanted)  # type: ignore[arg-type]
        return self._scatter(rows, places)

    def _scatter(self, rows: Sequence[bytes | None], places: Mapping[bytes, list[int]]) -> EntityRows:
        n = len(rows)
        event, created = np.full(n, MISSING, np.int64), np.full(n, MISSING, np.int64)
        deleted = np.zeros(n, bool)
        columns = tuple(absent(kind, n) for kind in self._types)
        for form, positions in places.items():
            some = [rows[position] for position in positions]
            part = self._layout(form, some[0]).decode(self._view, some, self._wanted)  # type: ignore[arg-type]
            event[positions], created[positions], deleted[positions] = part.event, part.created, part.deleted
            for target, values in zip(columns, part.columns, strict=True):
                target.data[positions], target.valid[positions] = values.data, values.valid
        return EntityRows(event, created, deleted, columns)

    def _layout(self, form: bytes, row: bytes | None) -> RowLayout:
        schema = form[:SCHEMA_WIDTH]
        layout = self._layouts.get(schema)
        if row is None or len(row) < HEADER_WIDTH:
            raise CorruptRow(self._view, "a row is shorter than its header")
        if layout is None:
            raise UnknownSchema(self._view, schema.hex())
        return layout
