"""Keys of whole columns are those of their rows, one by one."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skewless.contract.errors import InvalidInput
from skewless.contract.plan import JoinKey, PlanView
from skewless.contract.storage.key_columns import KeyColumnPacker
from tests.oracles import entity_key
from tests.strategies import ALL_KEY_TYPES, VALUES

ARROW = {
    "String": pa.string(),
    "Bytes": pa.binary(),
    "Int32": pa.int32(),
    "Int64": pa.int64(),
    "UnixTimestamp": pa.timestamp("us", tz="UTC"),
}


def view(*keys: tuple[str, str]) -> PlanView:
    return PlanView("v", "v", tuple(JoinKey(name, name, dtype) for name, dtype in keys), (), 0, "event_timestamp")


@given(st.data(), st.text("pé-", max_size=3))
def test_columns_give_the_keys_of_their_rows(data, project):
    names = data.draw(st.lists(st.text("abAB_é", min_size=1, max_size=4), min_size=1, max_size=3, unique=True))
    types = [data.draw(st.sampled_from(ALL_KEY_TYPES)) for _ in names]
    some = data.draw(st.lists(st.tuples(*[st.one_of(st.none(), VALUES[dtype]) for dtype in types]), max_size=5))
    columns = [pa.array([row[place] for row in some], ARROW[dtype]) for place, dtype in enumerate(types)]
    expected = [
        None if None in row else entity_key(project, dict(zip(names, zip(types, row, strict=True), strict=True)))
        for row in some
    ]
    packed = KeyColumnPacker(project, view(*zip(names, types, strict=True)))
    assert packed.pack(columns, len(some)).to_pylist() == expected
    tail = [column.slice(1) for column in columns]
    assert packed.pack(tail, len(tail[0])).to_pylist() == expected[1:]


def test_a_time_that_is_no_whole_second_is_refused():
    keys = KeyColumnPacker("p", view(("due", "UnixTimestamp")))
    with pytest.raises(InvalidInput, match=r"due.*1500000 is no join key of type UnixTimestamp"):
        keys.pack([pa.array([0, 1_500_000], ARROW["UnixTimestamp"])], 2)


def test_an_entityless_view_has_one_key():
    assert KeyColumnPacker("p", view()).pack([], 2).to_pylist() == [entity_key("p", {"__dummy_id": ("String", "")})] * 2
