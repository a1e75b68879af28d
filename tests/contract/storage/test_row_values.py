from __future__ import annotations

import struct

from hypothesis import example, given, settings
from hypothesis import strategies as st

from skewless.contract.errors import CorruptRow, UnknownSchema
from skewless.contract.plan import Field
from skewless.contract.storage.packed_row import RowReader
from skewless.contract.storage.row_values import PlainRows, RowValues, plain_rows
from tests.oracles import Row, packed_row
from tests.strategies import rows, schemas

TYPES = ("Float32", "Float64", "Int64", "Bool", "String", "Bytes", "Int32")
WRITTEN = tuple(Field(f"f{place}", dtype) for place, dtype in enumerate(TYPES))
READ = (*WRITTEN[::-1], Field("later", "String"))
NAN = struct.unpack("<f", b"\x01\x00\xc0\x7f")[0]


def exact(plain: PlainRows) -> list[object]:
    """Every value with its type; of a float its bits."""

    def of(value: object) -> object:
        return struct.pack("<d", value) if isinstance(value, float) else (type(value), value)

    columns = [plain.event, plain.created, plain.deleted, *plain.columns]
    return [[of(value) for value in column] for column in columns]


@settings(max_examples=200)
@given(st.data(), schemas(max_size=6), schemas(max_size=3))
def test_few_rows_are_read_as_many_are(data, schema, other):
    written = st.sampled_from([schema, other]).flatmap(rows)
    some = data.draw(st.lists(st.one_of(st.none(), written), max_size=6))
    old = data.draw(st.randoms(use_true_random=False))
    packed = [row and packed_row(row, older=old.random() < 0.3) for row in some]
    wanted = data.draw(st.sampled_from([schema, other]))
    few = RowValues(wanted, [schema, other]).read(packed)
    assert few is not None
    assert exact(few) == exact(plain_rows(RowReader("v", wanted, [schema, other]).read(packed)))


@given(
    rows(WRITTEN), st.booleans(), st.integers(-40, 12), st.integers(0, 70), st.integers(0, 255), st.binary(max_size=9)
)
@example(Row((), 1, 1, False, (NAN, NAN, 2**40, True, "é", b"\xff", -1), WRITTEN), False, 0, 70, 0, b"")
def test_what_it_reads_of_broken_bytes_is_what_the_slow_one_reads(row, old, end, place, byte, more):
    data = bytearray(packed_row(row, older=old))
    if place < len(data):
        data[place] = byte
    data = bytes(data[: end or None]) if end < 0 else bytes(data) + more[:end]
    few = RowValues(READ, [WRITTEN]).read([data])
    try:
        slow = plain_rows(RowReader("v", READ, [WRITTEN]).read([data]))
    except (CorruptRow, UnknownSchema):
        assert few is None
    else:
        assert few is not None
        assert exact(few) == exact(slow)


def test_rows_of_a_schema_become_readable_when_it_is_learnt():
    row = packed_row(Row((), 5, 6, False, (7,), (Field("i", "Int64"),)))
    reader = RowValues((Field("i", "Int64"),), [])
    assert reader.read([row]) is None
    reader.learn((Field("i", "Int64"),))
    assert reader.read([row, None]) == PlainRows([5, 2**63 - 1], [6, 2**63 - 1], [False, False], [[7, None]])
