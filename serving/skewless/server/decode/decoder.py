"""The compiled decoder: from the rows that Redis returns to the model's input, without a Python object for each value.

`OnlineRead.decode` and `Assembler` are the slow definition of that input; a property test holds the decoder equal to
them, bit for bit. For a row that is corrupt or of an unknown schema the decoder returns None, and they decide.

Few rows are unpacked one at a time, where the plan has no transforms. Many are read at once as records of the usual
shape: a form (schema and width) for each view. Rows of another form in one view are read separately and merged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from skewless.contract.admission import AdmissionRule
from skewless.contract.columns import ColumnValues, Schema
from skewless.contract.model.assembler import Assembler, Matrix, column_input
from skewless.contract.model.transforms import input_dtype, inputs_of, reference
from skewless.contract.plan import ColumnSource, Field, RequestInput, StoredFeature, TransformOutput
from skewless.contract.storage.row_header import FORM, living
from skewless.contract.timestamps import UtcMicros
from skewless.server.decode.batch_unpacker import BatchUnpacker, DecodedRows, DecodeSlots, Row
from skewless.server.decode.row_layout import RowSection, compile_sections
from skewless.server.decode.row_unpacker import RowUnpacker

_F4 = np.dtype("<f4")
_MOST_SHAPES = 1_000
_ALIGNED = 8
FEW = 8
"""Number of rows up to which one at a time is faster, measured with 5 views of 9 numbers."""
_NO_INPUT = RequestInput("")


class DecodedInput(NamedTuple):
    """The model's input for n rows, with the admission of each row.

    `statuses` is a `FeatureStatus` for each row and view, `orders` the 16 order bytes of each row and view (NO_ORDER
    for a missing row); both row after row, the views in the decoder's order.
    """

    matrix: Matrix
    statuses: bytes
    orders: bytes


class _RowShapes(NamedTuple):
    """Both compiled readers of rows with one form for each view."""

    records: BatchUnpacker
    unpacker: RowUnpacker


class RowDecoder:
    """Compiled from a plan. `views`: the order of a row's views. The slots are the model's columns, then the transforms'
    inputs. Up to `few` rows are unpacked one at a time.
    """

    def __init__(self, assembler: Assembler, views: Sequence[str], *, few: int = FEW) -> None:
        plan = self._plan = assembler.plan
        self._assembler, self.views = assembler, tuple(views)
        self._width = len(plan.columns)
        self._few = few if views and not plan.transforms else 0
        self._defaults = np.array([np.nan if c.default is None else c.default for c in plan.columns], _F4)
        self._inputs = tuple((source, input_dtype(d, name=reference(source))) for source, d in inputs_of(plan))
        self._other_columns = tuple(
            (i, c) for i, c in enumerate(plan.columns) if not isinstance(c.source, StoredFeature)
        )
        self._slots = self._layout()
        self._wanted = tuple(self._slots_of(view) for view in views)
        self._rules = self._grouped_rules()
        self._rule_of = tuple(plan.view(view).rule for view in views)
        self._sections: tuple[dict[bytes, RowSection], ...] = tuple({} for _ in views)
        self._shapes: dict[tuple[bytes, ...], _RowShapes] = {}
        self._parts: dict[tuple[int, bytes], BatchUnpacker] = {}
        # The view of each slot. Slots without one get the index after the last view, which is never hidden.
        self._view_of = np.full(len(self._slots.dtypes), len(views), np.intp)
        for place, wanted in enumerate(self._wanted):
            self._view_of[[slot for slots in wanted.values() for slot in slots]] = place
        for view in views:
            self.learn(view, plan.view(view).fields)
        self._usual = self._shape([next(reversed(known)) for known in self._sections])
        self._latest = self._usual

    def _layout(self) -> DecodeSlots:
        """The layout: the columns contiguous, then each transform input aligned to 8 bytes."""
        begin = -(-self._width * _F4.itemsize // _ALIGNED) * _ALIGNED
        return DecodeSlots(
            dtypes=(*[_F4] * self._width, *(dtype for _, dtype in self._inputs)),
            offsets=(
                *(_F4.itemsize * column for column in range(self._width)),
                *(begin + _ALIGNED * place for place in range(len(self._inputs))),
            ),
            width=begin + _ALIGNED * len(self._inputs),
        )

    def _slots_of(self, view: str) -> dict[Field, list[int]]:
        """The slots that each needed feature of a view fills."""
        sources = [*(column.source for column in self._plan.columns), *(source for source, _ in self._inputs)]
        return {
            field: [slot for slot, source in enumerate(sources) if source == StoredFeature(view, field.name)]
            for field in self._assembler.wanted[view]
        }

    def _grouped_rules(self) -> tuple[tuple[AdmissionRule, slice | list[int]], ...]:
        """Each distinct rule with the places of its views."""
        rules: dict[AdmissionRule, list[int]] = {}
        for place, view in enumerate(self.views):
            rules.setdefault(self._plan.view(view).rule, []).append(place)
        return tuple((rule, slice(None) if len(rules) == 1 else places) for rule, places in rules.items())

    def learn(self, view: str, schema: Schema) -> None:
        """Compile for rows of `view` that were written with `schema`."""
        place = self.views.index(view)
        for section in compile_sections(schema, self._wanted[place]):
            self._sections[place][section.form] = section

    def decode(self, rows: Sequence[Row], at: UtcMicros, request: Mapping[str, ColumnValues]) -> DecodedInput | None:
        """The model's input of n >= 1 rows at `at` (microseconds), or None where the slow path must decide."""
        if len(rows) <= self._few:
            decoded = self._one_by_one(rows, at)
            if decoded is not None:
                self._fill(decoded.matrix, {}, request)
                return decoded
        raw = self._usual.records.read(rows) or self._mixed(rows) if self.views else _no_views(len(rows), self._slots)
        if raw is None:
            return None
        statuses = self._statuses(raw, at)
        blank = raw.blank
        if statuses.any():
            hidden = np.pad(statuses != 0, ((0, 0), (0, 1)))[:, self._view_of]
            blank = hidden if blank is None else hidden | blank
        matrix = np.ascontiguousarray(raw.values[:, : _F4.itemsize * self._width]).view(_F4)
        if blank is not None:
            np.copyto(matrix, self._defaults, where=blank[:, : self._width])
        self._fill(matrix, self._computed(raw, blank, request) if self._plan.transforms else {}, request)
        return DecodedInput(matrix, statuses.tobytes(), raw.orders.tobytes())

    def _one_by_one(self, rows: Sequence[Row], at: UtcMicros) -> DecodedInput | None:
        """A few rows, one at a time; each is first tried with the shape of the row before."""
        step = _F4.itemsize * self._width
        matrix, statuses, orders = bytearray(step * len(rows)), bytearray(), []
        for place, row in enumerate(rows):
            unpacked = self._latest.unpacker.read(row, at, matrix, step * place)
            if unpacked is None:
                shape = self._shape_of(row)
                unpacked = shape.unpacker.read(row, at, matrix, step * place) if shape is not None else None
                if shape is None or unpacked is None:
                    return None
                self._latest = shape
            statuses += unpacked[0]
            orders.append(unpacked[1])
        return DecodedInput(np.frombuffer(matrix, _F4).reshape(len(rows), -1), bytes(statuses), b"".join(orders))

    def _shape_of(self, row: Row) -> _RowShapes | None:
        """The shape of one row; None where it has an unknown form."""
        forms = []
        for data, known in zip(row, self._sections, strict=True):
            form = next(reversed(known)) if data is None else living(data[FORM])
            if form not in known:
                return None
            forms.append(form)
        return self._shape(forms)

    def _computed(
        self, raw: DecodedRows, blank: NDArray[np.bool_] | None, request: Mapping[str, ColumnValues]
    ) -> dict[ColumnSource, ColumnValues]:
        """The transforms' inputs and outputs."""
        values: dict[ColumnSource, ColumnValues] = {}
        if not self._inputs:  # transforms without inputs: they need only the number of rows
            values[_NO_INPUT] = ColumnValues(raw.deleted, np.zeros(len(raw.deleted), bool))
        for slot, (source, dtype) in enumerate(self._inputs, self._width):
            if isinstance(source, RequestInput):
                values[source] = request[source.name]
                continue
            begin = self._slots.offsets[slot]
            data = np.ascontiguousarray(raw.values[:, begin : begin + dtype.itemsize]).view(dtype)[:, 0]
            values[source] = ColumnValues(data, np.ones(len(data), bool) if blank is None else ~blank[:, slot])
        return self._assembler.complete(values)

    def _fill(
        self, matrix: Matrix, computed: Mapping[ColumnSource, ColumnValues], request: Mapping[str, ColumnValues]
    ) -> None:
        """Fill the columns of request inputs and of transforms' outputs."""
        for index, column in self._other_columns:
            source = column.source
            values = computed[source] if isinstance(source, TransformOutput) else request[source.name]
            matrix[:, index] = column_input(values, column.default)

    def _statuses(self, raw: DecodedRows, at: UtcMicros) -> NDArray[np.uint8]:
        event, created = raw.times()
        moment, statuses = np.int64(at), np.empty(raw.deleted.shape, np.uint8)
        for rule, places in self._rules:
            statuses[:, places] = rule.status(event[:, places], created[:, places], raw.deleted[:, places], moment)
        return statuses

    def _mixed(self, rows: Sequence[Row]) -> DecodedRows | None:
        """Rows of mixed forms: the commonest form of each view in one read, each other form in a read of its own."""
        views = list(zip(*rows, strict=True))
        forms = [[None if data is None else living(data[FORM]) for data in column] for column in views]
        common, others = [], []
        for place, (column, known) in enumerate(zip(forms, self._sections, strict=True)):
            counted = Counter(form for form in column if form is not None)
            if not counted.keys() <= known.keys():
                return None
            common.append(counted.most_common(1)[0][0] if counted else next(reversed(known)))
            others += [(place, form) for form in counted if form != common[-1]]
        self._usual = self._shape(common)
        usual = [
            [data if form == most else None for data, form in zip(column, of, strict=True)]
            for column, of, most in zip(views, forms, common, strict=True)
        ]
        raw = self._usual.records.read(list(zip(*usual, strict=True)))
        if raw is not None and raw.blank is None:
            raw = replace(raw, blank=np.zeros((len(rows), len(self._slots.dtypes)), bool))
        for view, form in others:
            places = [place for place, other in enumerate(forms[view]) if other == form]
            part = self._part(view, form).read([(views[view][place],) for place in places])
            if raw is None or part is None:
                return None
            raw.replace_view(
                places, view, [slot for slots in self._wanted[view].values() for slot in slots], part, self._slots
            )
        return raw

    def _shape(self, forms: Sequence[bytes]) -> _RowShapes:
        """The shape of these forms, one a view. The cache is emptied when it has _MOST_SHAPES shapes."""
        key = tuple(forms)
        if key not in self._shapes:
            if len(self._shapes) >= _MOST_SHAPES:
                self._shapes.clear()
            sections = [known[form] for known, form in zip(self._sections, key, strict=True)]
            records = BatchUnpacker(sections, self._slots)
            self._shapes[key] = _RowShapes(records, RowUnpacker(sections, self._rule_of, self._defaults))
        return self._shapes[key]

    def _part(self, view: int, form: bytes) -> BatchUnpacker:
        """The unpacker of one view's rows alone."""
        key = (view, form)
        if key not in self._parts:
            self._parts[key] = BatchUnpacker([self._sections[view][form]], self._slots)
        return self._parts[key]


def _no_views(rows: int, slots: DecodeSlots) -> DecodedRows:
    """Decoded rows of a plan without views."""
    return DecodedRows(
        np.zeros((rows, 0), np.uint8), np.zeros((rows, 0), bool), None, np.zeros((rows, slots.width), np.uint8)
    )
