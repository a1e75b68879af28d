from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skewless.contract.admission import MISSING
from skewless.contract.columns import column_values
from skewless.contract.errors import CorruptRow, SkewlessError, UnknownSchema, UnsupportedType
from skewless.contract.plan import Field
from skewless.contract.storage.newest_wins import replaces
from skewless.contract.storage.packed_row import RowLayout, RowReader, fingerprint
from skewless.contract.value_types import value_type
from tests.checkout import GOLDEN_BYTES
from tests.oracles import Row, bits, packed_row
from tests.strategies import INSTANTS, STORED, arrow_column, rows, schemas, values
from tests.tables.arrays import packed, rows_bits

GOLDEN = json.loads(GOLDEN_BYTES.read_text())


@st.composite
def tables(draw, *, max_rows=5):
    schema = draw(schemas())
    return schema, draw(st.lists(rows(schema), max_size=max_rows))


def told(row: Row | None, wanted) -> tuple[object, ...]:
    """What a reader of `wanted` should see of a row."""
    if row is None:
        return (MISSING, MISSING, False, *[None] * len(wanted))
    held = dict(zip(row.schema, row.values, strict=True))
    return (row.event, row.created, row.deleted, *[bits(f.dtype, held.get(f)) for f in wanted])


@given(tables())
def test_encode_is_the_format_byte_by_byte(table):
    schema, some = table
    assert packed(schema, some) == [packed_row(row) for row in some]


@given(tables())
def test_decode_gives_back_every_bit(table):
    schema, some = table
    back = RowReader("v", schema, [schema]).read(packed(schema, some))
    assert rows_bits(schema, back) == [told(row, schema) for row in some]


@st.composite
def evolutions(draw):
    """A schema and what may become of it: features added, removed, reordered, retyped."""
    first = draw(schemas(min_size=1, max_size=5))
    found = [first]
    for _ in range(draw(st.integers(1, 3))):
        fields = [f for f in draw(st.permutations(found[-1])) if draw(st.integers(0, 3))]
        fields = [f if draw(st.integers(0, 3)) else Field(f.name, draw(st.sampled_from(STORED))) for f in fields]
        fields += [f for f in draw(schemas(max_size=2)) if f.name not in {g.name for g in fields}]
        found.append(tuple(fields))
    return found


@settings(max_examples=150)
@given(st.data(), evolutions())
def test_rows_of_any_age_are_read_as_the_reader_wants_them(data, history):
    written = st.sampled_from(history).flatmap(rows)
    some = data.draw(st.lists(st.one_of(st.none(), written, written), max_size=6))
    wanted = data.draw(st.sampled_from(history))
    older = data.draw(st.randoms(use_true_random=False))
    packed_rows = [row and packed_row(row, older=older.random() < 0.3) for row in some]
    back = RowReader("v", wanted, history).read(packed_rows)
    assert rows_bits(wanted, back) == [told(row, wanted) for row in some]


@given(st.data(), st.sampled_from(STORED))
def test_a_column_of_arrow_equals_its_packed_self(data, dtype):
    schema = (Field("f", dtype),)
    some = data.draw(st.lists(rows(schema), max_size=5))
    column = [row.values[0] for row in some]
    straight = column_values(value_type(dtype), arrow_column(dtype, column))
    back = RowReader("v", schema, [schema]).read(packed(schema, some)).columns[0]
    assert back.valid.tolist() == straight.valid.tolist()
    assert back.data.tolist() == straight.data.tolist() or back.data.tobytes() == straight.data.tobytes()


@pytest.mark.parametrize("form", [pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())])
def test_every_arrow_form_of_a_text_packs_alike(form):
    schema = (Field("s", "String"),)
    plain = pa.array(["x", None, "", "é"])
    times, alive = np.zeros(3, np.int64), np.zeros(3, bool)
    layout = RowLayout(schema)
    assert layout.encode(times, times, alive, [plain.cast(form)[1:]]) == layout.encode(times, times, alive, [plain[1:]])


def test_what_lies_under_a_null_is_not_stored():
    under = pa.Array.from_buffers(
        pa.int64(), 2, [pa.py_buffer(b"\x01"), pa.py_buffer(np.array([7, 8], "<i8").tobytes())]
    )
    schema = (Field("i", "Int64"),)
    times, alive = np.zeros(2, np.int64), np.zeros(2, bool)
    seven, null = RowLayout(schema).encode(times, times, alive, [under])
    assert seven.endswith(b"\0" + (7).to_bytes(4, "little"))
    assert null.endswith(b"\1" + bytes(4))


@given(INSTANTS, INSTANTS, INSTANTS, INSTANTS)
def test_bytes_compare_like_times(e, c, f, d):
    one, two = (packed((), [Row((), *times, False, (), ())])[0] for times in ((e, c), (f, d)))
    assert (one[:16] < two[:16]) == ((e, c) < (f, d))


@given(st.data(), tables(max_rows=3))
def test_broken_bytes_never_raise_anything_else(data, table):
    schema, some = table
    whole = [packed_row(row) for row in some]
    for place, row in enumerate(whole):
        kind = data.draw(st.sampled_from(["as is", "cut", "longer", "flipped", "noise"]))
        if kind == "cut":
            whole[place] = row[: data.draw(st.integers(0, len(row) - 1))]
        elif kind == "longer":
            whole[place] = row + data.draw(st.binary(min_size=1, max_size=9))
        elif kind == "flipped":
            at = data.draw(st.integers(0, len(row) - 1))
            whole[place] = row[:at] + bytes([data.draw(st.integers(0, 255))]) + row[at + 1 :]
        elif kind == "noise":
            whole[place] = data.draw(st.binary(max_size=60))
    try:
        back = RowReader("v", schema, [schema]).read(whole)
    except (CorruptRow, UnknownSchema):
        return
    assert len(back.event) == len(whole)


FULL = (Field("i", "Int64"), Field("s", "String"), Field("t", "String"))
FULL_ROW = packed_row(Row((), 5, 6, False, (7, "Zürich", "x"), FULL))


@pytest.mark.parametrize("wanted", [FULL, FULL[:1], ()])
def test_a_row_of_another_length_is_corrupt_whatever_is_wanted_of_it(wanted):
    reader = RowReader("v", wanted, [FULL])
    for cut in range(len(FULL_ROW)):
        with pytest.raises(CorruptRow):
            reader.read([FULL_ROW[:cut]])
        with pytest.raises(SkewlessError):
            reader.read([FULL_ROW, None, FULL_ROW[:cut]])
    with pytest.raises(CorruptRow, match="too long"):
        reader.read([FULL_ROW + b"\0"])


def test_texts_that_run_backwards_or_are_not_utf8_are_corrupt():
    swapped = bytearray(FULL_ROW)
    at = 22 + 4
    swapped[at : at + 4] = (200).to_bytes(4, "little")
    with pytest.raises(CorruptRow, match="outside"):
        RowReader("v", FULL, [FULL]).read([bytes(swapped)])
    with pytest.raises(CorruptRow, match="UTF-8"):
        RowReader("v", FULL, [FULL]).read([FULL_ROW.replace("ü".encode(), b"\xff\xff")])


def test_unknown_flags_are_refused():
    for flags in (3, 4, 128, 130, 255):
        with pytest.raises(CorruptRow, match="flags"):
            RowReader("v", FULL, [FULL]).read([FULL_ROW, FULL_ROW[:20] + bytes([flags]) + FULL_ROW[21:]])
    with pytest.raises(CorruptRow, match="flags"):
        RowLayout(FULL).decode("v", [FULL_ROW, FULL_ROW[:20] + b"\x83" + FULL_ROW[21:]], FULL)


def test_a_row_without_integers_is_never_narrow():
    texts = FULL[1:]
    row = packed_row(Row((), 5, 6, False, ("a", "b"), texts))
    with pytest.raises(CorruptRow, match="flags"):
        RowReader("v", texts, [texts]).read([row[:20] + b"\x02" + row[21:]])


TWO = (Field("i", "Int64"), Field("j", "Int64"), Field("f", "Float64"))


@pytest.mark.parametrize(
    ("integers", "width"),
    [
        ((0, 2**31 - 1), 4),
        ((-(2**31), None), 4),
        ((None, None), 4),
        ((0, 2**31), 8),
        ((-(2**31) - 1, 0), 8),
        ((2**63 - 1, -(2**63)), 8),
    ],
)
def test_a_row_is_narrow_where_all_of_its_integers_fit(integers, width):
    row = Row((), 5, 6, False, (*integers, np.float64(0.5)), TWO)
    (made,) = packed(TWO, [row])
    assert len(made) == 21 + 1 + 2 * width + 8
    assert told(row, TWO) == rows_bits(TWO, RowReader("v", TWO, [TWO]).read([made]))[0]


@pytest.mark.parametrize("case", GOLDEN["older_rows"], ids=lambda case: case["name"])
def test_rows_of_older_versions_are_read(case):
    schema, row = _golden_row(case)
    back = RowReader("v", schema, [schema]).read([bytes.fromhex(case["hex"]), packed_row(row)])
    assert rows_bits(schema, back) == [told(row, schema)] * 2


@pytest.mark.parametrize("newer", [0, 1])
def test_a_tombstone_wins_a_tie_with_any_living_row_of_its_schema(newer):
    living = [packed_row(Row((), 1, 1, False, (number, 2**31 - 1, None), TWO)) for number in (1, 2**40)]
    gone = [packed_row(Row((), 1, 1, True, (number, None, None), TWO)) for number in (None, 2**40)]
    assert min(gone)[16:] > max(living)[16:]
    assert replaces(gone[newer], living[newer])
    assert not replaces(living[newer], gone[1 - newer])


def test_a_schema_is_learned_once_it_is_known():
    reader = RowReader("v", FULL[:1])
    with pytest.raises(UnknownSchema) as refused:
        reader.read([FULL_ROW, None])
    assert refused.value.fingerprint == fingerprint(FULL).hex()
    reader.learn(FULL)
    assert reader.read([FULL_ROW, None]).columns[0].data.tolist() == [7, 0]


def test_a_type_without_a_packed_form_is_named():
    with pytest.raises(UnsupportedType, match=r"'f'.*Array\(Invalid\)"):
        RowLayout((Field("f", "Array(Invalid)"),))


def test_another_inner_type_is_another_schema():
    """Its bytes mean something else, so rows of the one are null to a reader of the other."""
    spellings = ["Array(Int32)", "Array(Int64)", "Set(Int64)", 'Struct({"a": Int64})', 'Struct({"b": Int64})', "Bytes"]
    schemas = [(Field("f", spelling),) for spelling in spellings]
    assert len({fingerprint(schema) for schema in schemas}) == len(schemas)
    row = packed_row(Row((), 5, 6, False, (b"\x6a\x00",), schemas[0]))
    for schema in schemas:
        (column,) = RowReader("v", schema, schemas).read([row]).columns
        assert column.valid.tolist() == [schema == schemas[0]]


def test_a_retyped_feature_lives_beside_its_older_rows():
    old, new = (Field("f", "Float32"), Field("g", "Array(Int64)")), (Field("g", "Map"), Field("f", "Float32"))
    rows = [
        packed_row(Row((), 1, 1, False, (np.float32(1.5), b"\x72\x00"), old)),
        packed_row(Row((), 2, 2, False, (b"\xa2\x01\x00", np.float32(2.5)), new)),
    ]
    reader = RowReader("v", new, [new])
    with pytest.raises(UnknownSchema):
        reader.read(rows)
    reader.learn(old)
    map_, float_ = reader.read(rows).columns
    assert map_.data.tolist() == [None, b"\xa2\x01\x00"]
    assert float_.data.tolist() == [1.5, 2.5]


@pytest.mark.parametrize("case", GOLDEN["rows"], ids=lambda case: case["name"])
def test_golden_rows(case):
    """Bytes that stores out there hold: a change here is a change of format."""
    schema, row = _golden_row(case)
    assert packed(schema, [row])[0].hex() == case["hex"]


def _golden_row(case):
    schema = tuple(Field(name, dtype) for name, dtype in case["schema"])
    given = [None if v is None else _golden_value(f.dtype, v) for f, v in zip(schema, case["values"], strict=True)]
    return schema, Row((), case["event"], case["created"], case["deleted"], tuple(given), schema)


def _golden_value(dtype, value):
    if value_type(dtype).encoding in ("bytes", "value"):
        return bytes.fromhex(value)
    return {"Float32": np.float32, "Float64": np.float64}.get(dtype, lambda v: v)(value)


@given(st.sampled_from(STORED).flatmap(lambda dtype: st.tuples(st.just(dtype), values(dtype))))
def test_the_strategies_keep_every_bit_on_their_way_to_arrow(pair):
    dtype, value = pair
    back = column_values(value_type(dtype), arrow_column(dtype, [value]))
    assert (bits(dtype, value) is None) == (not back.valid[0])
