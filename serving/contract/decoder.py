"""The compiled read: from the rows that Redis sends to the model's input, without a value of its own in between.

`OnlineRead.decode` and `Assembler.matrix` say what that input is, slowly; a property test holds this equal to them,
bit for bit. Whatever is unusual (a row that is corrupt, or of a schema not seen yet) gets None here, and they decide.

A single row is unpacked with `struct` into one float32 row. Many rows are read as one record array; so is a single one
that holds a number which Python's floats might not carry exactly.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from serving.contract.assembler import Assembler, Matrix, column_input
from serving.contract.freshness import Flags, Micros
from serving.contract.plan import Feature, Field, Request
from serving.contract.records import Records, Row
from serving.contract.row import FLAGS, Schema, Values
from serving.contract.section import NO_TEXTS, ORDER_WIDTH, Columns, Section, compile_sections, null_columns

_F4 = np.dtype("<f4")
_ORDER = struct.Struct(">QQ")
_BIAS = 1 << 63
_FORM = slice(16, 21)
_FLAGS = 4
_MOST_SHAPES = 1_000
_EXACT_SQUARES = float(2**106)
"""Below it a sum of squares has no NaN, no infinity and no integer beyond 2^53 in it."""
Forms = tuple[bytes | None, ...]
"""Of each view's row the schema's fingerprint and the flags."""


class Taken(NamedTuple):
    """The model's input for n rows and what was found for them.

    `statuses` is a `Status` for each row and view, `orders` the 16 order bytes of each row and view (0xff where there
    is none); both row after row, the views in the decoder's order.
    """

    matrix: Matrix
    statuses: bytes
    orders: bytes


@dataclass(frozen=True, slots=True)
class _Shape:
    """A section for each view. `pick` takes the columns, in order, out of 0.0 and all unpacked values."""

    sections: tuple[Section, ...]
    pick: Callable[[Sequence[Any]], tuple[float, ...]]
    lacking: Columns
    records: Records


class Decoder:
    """Compiled from a plan without transforms (those need values by name). `views`: the order of a row's views."""

    def __init__(self, assembler: Assembler, views: Sequence[str]) -> None:
        plan = assembler.plan
        self.views = tuple(views)
        self._rules = tuple(plan.view(view).rule for view in views)
        self._wanted = tuple(_columns_of(assembler, view) for view in views)
        self._width = len(plan.columns)
        self._defaults = np.array([np.nan if c.default is None else c.default for c in plan.columns], _F4)
        self._request = tuple(
            (index, column.source.name, column.default)
            for index, column in enumerate(plan.columns)
            if isinstance(column.source, Request)
        )
        self._pack_into = struct.Struct(f"<{self._width}f").pack_into
        self._sections: tuple[dict[bytes | None, Section], ...] = tuple({} for _ in views)
        self._shapes: dict[Forms, _Shape] = {}
        self._alike = len(set(self._rules)) == 1
        # Which view hides each column; a request input has none, hence the last, which is never hidden.
        self._view_of = np.full(self._width, len(views), np.intp)
        for place, (view, wanted) in enumerate(zip(self.views, self._wanted, strict=True)):
            self._view_of[[column for columns in wanted.values() for column in columns]] = place
            self.learn(view, plan.view(view).fields)

    def learn(self, view: str, schema: Schema) -> None:
        """Compile for rows of `view` that were written with `schema`."""
        place = self.views.index(view)
        sections = compile_sections(schema, self._wanted[place])
        for section in sections:
            self._sections[place][section.fingerprint + bytes([section.flags])] = section
        # An entity without a row looks like one with any schema.
        self._sections[place].setdefault(None, sections[-1])

    def take(self, rows: Sequence[Row], at: int, request: Mapping[str, Values]) -> Taken | None:
        """The model's input of n >= 1 rows at `at` (microseconds), or None where the slow path must decide."""
        taken = self._one(rows[0], at) if len(rows) == 1 else None
        if taken is None:
            taken = self._many(rows, at)
        if taken is not None:
            for index, name, default in self._request:
                taken.matrix[:, index] = column_input(request[name], default)
        return taken

    def _shape(self, forms: Forms) -> _Shape | None:
        """The shape of rows of these forms; None where one of them is not known yet."""
        return self._shapes.get(forms) or self._new_shape(forms)

    def _new_shape(self, forms: Forms) -> _Shape | None:
        """A tombstone has the shape of a living row, which is kept; without end there would be one for each mixture."""
        alive = tuple([form and _alive(form) for form in forms])
        shape = self._shapes.get(alive)
        if shape is None:
            sections = [known.get(form) for known, form in zip(self._sections, alive, strict=True)]
            found = tuple(section for section in sections if section is not None)
            if len(found) < len(sections) or len(self._shapes) >= _MOST_SHAPES:
                return None
            shape = self._shapes[alive] = _compiled(found, self._width)
        return shape

    def _one(self, row: Row, at: int) -> Taken | None:
        shape = self._shape(_forms(row))
        if shape is None:
            return None
        flat: list[Any] = [0.0]
        statuses, orders, blanks = [], [], [shape.lacking]
        for data, section, rule in zip(row, shape.sections, self._rules, strict=True):
            whole = section.absent if data is None else data
            if len(whole) < section.width:
                return None
            values = section.unpack(whole)
            order, _, flags, nulls = values[:4]
            texts = values[section.end] if section.end != NO_TEXTS else 0
            if len(whole) != section.width + texts:
                return None
            event, created = _ORDER.unpack(order)
            status = rule.code(event - _BIAS, created - _BIAS, flags & 1 == 1, at)
            if status:
                blanks.append(section.columns)
            elif nulls != section.no_nulls:
                blanks += null_columns(section, nulls)
            statuses.append(status)
            orders.append(order)
            flat += values
        matrix = self._packed(shape, flat, blanks)
        return None if matrix is None else Taken(matrix, bytes(statuses), b"".join(orders))

    def _packed(self, shape: _Shape, flat: Sequence[Any], blanks: Sequence[Columns]) -> Matrix | None:
        """Unpacked values as one float32 row; None where one of them may not be carried exactly."""
        buffer = bytearray(4 * self._width)
        try:
            self._pack_into(buffer, 0, *shape.pick(flat))
        except OverflowError:
            return None
        row = np.frombuffer(buffer, _F4)
        if not row.dot(row) < _EXACT_SQUARES:
            return None
        for columns in blanks:
            if len(columns):
                row[columns] = self._defaults[columns]
        return row.reshape(1, -1)

    def _many(self, rows: Sequence[Row], at: int) -> Taken | None:
        """Rows of one shape together; of several, shape by shape."""
        taken = self._of_one_shape(_forms(rows[0]), rows, at)
        if taken is not None or len(rows) == 1:
            return taken
        groups: dict[Forms, list[int]] = {}
        for index, row in enumerate(rows):
            groups.setdefault(_forms(row), []).append(index)
        matrix = np.empty((len(rows), self._width), _F4)
        statuses = np.empty((len(rows), len(self.views)), np.uint8)
        orders = np.empty((len(rows), len(self.views) * ORDER_WIDTH), np.uint8)
        for forms, places in groups.items():
            part = self._of_one_shape(forms, [rows[place] for place in places], at)
            if part is None:
                return None
            matrix[places] = part.matrix
            statuses[places] = np.frombuffer(part.statuses, np.uint8).reshape(len(places), -1)
            orders[places] = np.frombuffer(part.orders, np.uint8).reshape(len(places), -1)
        return Taken(matrix, statuses.tobytes(), orders.tobytes())

    def _of_one_shape(self, forms: Forms, rows: Sequence[Row], at: int) -> Taken | None:
        """None where a row is of another shape after all, or of none."""
        shape = self._shape(forms)
        joined = shape.records.join(rows) if shape is not None else None
        if shape is None or joined is None:
            return None
        heads = shape.records.heads(joined, rows)
        if heads is None:
            return None
        orders, event, created, deleted = shape.records.times(heads)
        statuses = self._statuses(event, created, deleted, at)
        matrix = shape.records.matrix(joined)
        blank = shape.records.nulls(heads)
        if statuses.any():
            hidden = np.pad(statuses != 0, ((0, 0), (0, 1)))[:, self._view_of]
            blank = hidden if blank is None else hidden | blank
        if blank is not None:
            np.copyto(matrix, self._defaults, where=blank)
        if len(shape.lacking):
            matrix[:, shape.lacking] = self._defaults[shape.lacking]
        return Taken(matrix, statuses.tobytes(), orders)

    def _statuses(self, event: Micros, created: Micros, deleted: Flags, at: int) -> NDArray[np.uint8]:
        moment = np.int64(at)
        if self._alike:
            return self._rules[0].status(event, created, deleted, moment)
        columns = [
            rule.status(event[:, place], created[:, place], deleted[:, place], moment)
            for place, rule in enumerate(self._rules)
        ]
        return np.stack(columns, axis=1)


def _forms(row: Row) -> Forms:
    return tuple([None if data is None else data[_FORM] for data in row])


def _alive(form: bytes) -> bytes:
    """The form of a living row; one with flags that are not known stays as it is."""
    return form[:_FLAGS] + bytes([FLAGS.get(flags, flags) for flags in form[_FLAGS:]])


def _columns_of(assembler: Assembler, view: str) -> dict[Field, list[int]]:
    """The columns that each wanted feature of a view fills."""
    columns = assembler.plan.columns
    return {
        field: [index for index, column in enumerate(columns) if column.source == Feature(view, field.name)]
        for field in assembler.wanted[view]
    }


def _compiled(sections: tuple[Section, ...], width: int) -> _Shape:
    places, start = [0] * width, 1
    for section in sections:
        for one in section.held:
            for column in one.columns.tolist():
                places[column] = start + one.place
        start += section.length
    # itemgetter of a single place gives no tuple.
    pick = itemgetter(*places) if width > 1 else itemgetter(slice(places[0], places[0] + 1))
    lacking = np.concatenate([section.lacking for section in sections]) if sections else np.zeros(0, np.intp)
    return _Shape(sections, pick, lacking, Records(sections, width))
