"""Pushed rows: what JSON says, the table and the online store are one value, for any types and any rows."""

from __future__ import annotations

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skewless.contract.admission import KnownBy
from skewless.contract.errors import InvalidRows, NotPushable
from skewless.contract.plan import Field, JoinKey, PlanView
from skewless.contract.storage.push_batch import CREATED, EVENT, MAX_ERRORS, PushRowsReader, online_rows, part_table
from skewless.contract.storage.push_target import PushTarget
from skewless.contract.timestamps import rfc3339_text
from tests.oracles import Row, entity_key, packed_row
from tests.tables.pushed_view import PROJECT, TARGET, row

INT64 = st.integers(-(2**63), 2**63 - 1)
TIMES = st.integers(0, 4_000_000_000_000_000)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
VALUES = {
    "Int32": st.integers(-(2**31), 2**31 - 1),
    "Int64": INT64,
    "Float64": FLOATS,
    "Float32": st.floats(width=32, allow_nan=False, allow_infinity=False),
    "Bool": st.booleans(),
    "String": st.text(st.characters(exclude_categories=["Cs"])),
    "UnixTimestamp": TIMES,
    "Json": st.text(st.characters(exclude_categories=["Cs"])),
}
FIELDS = tuple(Field(f"f_{name}", name) for name in VALUES)
VIEW = PlanView(
    "v", "v", (JoinKey("k", "k", "Int64"), JoinKey("s", "s", "String")), FIELDS, 0, "created_timestamp", "gone"
)
ANY = PushTarget(VIEW, "v", EVENT, CREATED)
ROWS = st.lists(
    st.tuples(
        INT64,
        VALUES["String"],
        TIMES,
        st.none() | TIMES,
        st.none() | st.booleans(),
        st.tuples(*(st.none() | values for values in VALUES.values())),
    ),
    min_size=1,
    max_size=5,
)


def as_json(key, text, event, created, gone, values) -> dict:
    found = {"k": key, "s": text, EVENT: rfc3339_text(event)}
    for field, value in zip(FIELDS, values, strict=True):
        found[field.name] = rfc3339_text(value) if field.dtype == "UnixTimestamp" and value is not None else value
    return (
        found | ({} if created is None else {CREATED: rfc3339_text(created)}) | ({} if gone is None else {"gone": gone})
    )


def as_oracle(key, text, event, created, gone, values, now: int) -> Row:
    floats = {"Float32": np.float32, "Float64": np.float64}
    plain = tuple(
        floats.get(field.dtype, lambda same: same)(value) if value is not None else None
        for field, value in zip(FIELDS, values, strict=True)
    )
    return Row((key, text), event, now if created is None else created, bool(gone), plain, FIELDS)


@given(ROWS, TIMES)
def test_the_store_gets_what_the_oracle_packs_and_the_table_what_was_said(rows, now):
    reader = PushRowsReader(PROJECT, ANY)
    # Each row came with a request of its own.
    parsed = [reader.read([as_json(*one)]) for one in rows]
    batch = reader.batch(parsed, now)
    expected = [as_oracle(*one, now) for one in rows]
    assert online_rows(batch) == [packed_row(one) for one in expected]
    keys = [entity_key(PROJECT, {"k": ("Int64", one.key[0]), "s": ("String", one.key[1])}) for one in expected]
    assert [key for one in parsed for key in one.keys] == keys
    table = part_table(ANY, batch)
    assert table.column(EVENT).cast(pa.int64()).to_pylist() == [one.event for one in expected]
    assert table.column(CREATED).cast(pa.int64()).to_pylist() == [one.created for one in expected]
    assert table.column("gone").to_pylist() == [one.deleted for one in expected]
    for place, field in enumerate(FIELDS):
        column = table.column(field.name)
        column = column.cast(pa.int64()) if field.dtype == "UnixTimestamp" else column
        assert column.to_pylist() == [one.values[place] for one in expected]


@pytest.mark.parametrize(
    ("known_by", "due"), [("created_timestamp", [True, False, False]), ("event_timestamp", [True, False, True])]
)
def test_what_is_due_goes_by_the_views_rule(known_by: KnownBy, due):
    target = msgspec.structs.replace(ANY, view=msgspec.structs.replace(VIEW, known_by=known_by))
    reader = PushRowsReader(PROJECT, target)
    nothing = (None,) * len(FIELDS)
    rows = [(1, "a", 5, 5, None, nothing), (2, "a", 6, 5, None, nothing), (3, "a", 5, 6, None, nothing)]
    batch = reader.batch([reader.read([as_json(*one) for one in rows])], 9)
    assert batch.due(5).tolist() == due


def test_a_table_without_a_created_column_knows_rows_since_they_are_true():
    target = msgspec.structs.replace(TARGET, created_timestamp_column=None)
    reader = PushRowsReader(PROJECT, target)
    batch = reader.batch([reader.read([row()])], 7)
    assert batch.created.tolist() == batch.event.tolist()
    assert CREATED not in part_table(target, batch).column_names


def test_an_entityless_view_has_one_key():
    view = msgspec.structs.replace(VIEW, join_keys=(), fields=(Field("x", "Int64"),))
    parsed = PushRowsReader(PROJECT, msgspec.structs.replace(ANY, view=view)).read(
        [{"x": 1, EVENT: "2013-10-01T12:00:00Z"}]
    )
    assert parsed.keys == [entity_key(PROJECT, {"__dummy_id": ("String", "")})]


def test_a_key_that_is_a_time_is_whole_seconds():
    view = msgspec.structs.replace(VIEW, join_keys=(JoinKey("t", "t", "UnixTimestamp"),), fields=(Field("x", "Int64"),))
    reader = PushRowsReader(PROJECT, msgspec.structs.replace(ANY, view=view))
    good = {"t": "2013-10-01T12:00:00Z", "x": 1, EVENT: "2013-10-01T12:00:00Z"}
    (key,) = reader.read([good]).keys
    assert key == entity_key(PROJECT, {"t": ("UnixTimestamp", 1_380_628_800_000_000)})
    with pytest.raises(InvalidRows) as refused:
        reader.read([good | {"t": "2013-10-01T12:00:00.5Z"}], "/rows")
    assert refused.value.errors[0].pointer.startswith("/rows/0")


def test_a_type_that_only_feast_can_pack_is_refused_here():
    view = msgspec.structs.replace(VIEW, fields=(Field("vector", "Array(Float32)"),))
    with pytest.raises(NotPushable, match=r"vector.*Array\(Float32\).*skewless push"):
        PushRowsReader(PROJECT, msgspec.structs.replace(ANY, view=view))


def test_errors_are_bounded_and_in_order():
    with pytest.raises(InvalidRows) as refused:
        PushRowsReader(PROJECT, TARGET).read([7] * 100, "/rows")
    assert [error.pointer for error in refused.value.errors] == [f"/rows/{place}" for place in range(MAX_ERRORS)]
    assert "and 17 more" in str(refused.value)
