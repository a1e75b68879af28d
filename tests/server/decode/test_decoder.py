"""The compiled read is the slow one, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from skewless.contract.admission import MISSING
from skewless.contract.model.assembler import Assembler, admit, wanted_features
from skewless.contract.plan import Field, JoinKey, ModelColumn, Plan, PlanView, StoredFeature
from skewless.contract.storage.lookup import LookupBatch, OnlineRead
from skewless.server.decode.batch_unpacker import BatchUnpacker
from skewless.server.decode.decoder import FEW, RowDecoder
from tests.models import tiny
from tests.oracles import Row, packed_row
from tests.strategies import MOMENTS, key_values, plans, rows, schemas, values
from tests.tables.arrays import as_values


@st.composite
def stored(draw, view, moments):
    """A row of a view, of its own schema or of one that it has or had: longer, shorter, shuffled, retyped."""
    evolved = st.tuples(st.permutations(view.fields), schemas(max_size=3)).map(_joined)
    schema = draw(st.one_of(st.just(view.fields), st.just(view.fields), st.shared(evolved, key=view.stored_as)))
    return draw(st.one_of(st.none(), *[rows(schema, moments)] * 3))


def _joined(parts):
    kept, new = parts
    kept = kept[: max(1, len(kept) - 1)]
    return (*kept, *(field for field in new if field.name not in {one.name for one in kept}))


@st.composite
def reads(draw):
    """A plan, the replies to a request of some rows, and when; schemas that the plan does not have are told aside."""
    plan = draw(plans().filter(lambda plan: plan.columns))
    n = draw(st.sampled_from([1, 1, 2, 5]))
    keys = {k.name: [draw(st.sampled_from([None, *(key_values(k.dtype, i) for i in range(2))])) for _ in range(n)]
            for k in plan.join_keys}  # fmt: skip
    online = OnlineRead(plan, wanted_features(plan))
    lookups, places = online.lookups(keys, n)
    by_field = {view.stored_as.encode(): view for view in plan.views}
    found = [[draw(stored(by_field[field], MOMENTS)) for field in lookup.fields] for lookup in lookups]
    learned = {(f, row.schema) for lookup, reply in zip(lookups, found, strict=True)
               for f, row in zip(lookup.fields, reply, strict=True) if row is not None}  # fmt: skip
    request = {
        f.name: as_values(f.dtype, draw(st.lists(values(f.dtype), min_size=n, max_size=n))) for f in plan.request
    }
    rest = draw(st.randoms(use_true_random=False))
    replies = [[r and packed_row(r, older=rest.random() < 0.2) for r in reply] for reply in found]
    return plan, (lookups, places), replies, learned, request, draw(MOMENTS)


def slow(plan, online, asked, replies, request, at):
    lookups, places = asked
    batch = LookupBatch(tuple(lookups), tuple(np.array(place, np.intp) for place in places))
    admitted = online.decode(batch, replies, at)
    return admitted, Assembler(plan, None).assemble(admitted, request)


@pytest.mark.parametrize("few", [FEW, 0])
@settings(max_examples=300)
@given(reads())
def test_the_compiled_read_equals_the_slow_one_bit_for_bit(few, read):
    plan, asked, replies, learned, request, at = read
    online = OnlineRead(plan, wanted_features(plan))
    decoder = RowDecoder(Assembler(plan, None), online.views, few=few)
    for view in plan.views:
        for field, schema in learned:
            if field == view.stored_as.encode():
                online.readers[view.name].learn(schema)
                decoder.learn(view.name, schema)
    admitted, matrix = slow(plan, online, asked, replies, request, at)
    decoded = decoder.decode(online.rows(asked[1], replies, len(matrix)), at, request)
    assert decoded is not None
    event(f"{len(matrix)} rows, {len(learned)} schemas")
    assert decoded.matrix.tobytes() == matrix.tobytes()
    statuses = np.frombuffer(decoded.statuses, np.uint8).reshape(len(matrix), -1)
    times = (np.frombuffer(decoded.orders, ">u8").astype("<u8") ^ np.uint64(1 << 63)).view(np.int64)
    for place, view in enumerate(decoder.views):
        assert statuses[:, place].tolist() == admitted[view].status.tolist()
        event_times = times.reshape(len(matrix), -1, 2)[:, place]
        assert event_times[:, 0].tolist() == admitted[view].rows.event.tolist()
        assert event_times[:, 1].tolist() == admitted[view].rows.created.tolist()


@st.composite
def tiny_reads(draw):
    """Many rows of the small plan with a transform; some of a view's former schema, or wide, or gone."""
    plan = tiny.plan()
    former = {view.name: view.fields[::-1] for view in plan.views}
    some = [[st.none(), *[rows(schema, MOMENTS) for schema in (view.fields, former[view.name])]] for view in plan.views]
    found = draw(st.lists(st.tuples(*[st.one_of(*one) for one in some]), min_size=1, max_size=20))
    hours = draw(st.lists(values("Int64"), min_size=len(found), max_size=len(found)))
    return plan, former, found, {"hour": as_values("Int64", hours)}, draw(MOMENTS)


@given(tiny_reads())
def test_transforms_are_fed_and_forms_mixed_bit_for_bit(read):
    plan, former, found, request, at = read
    online, assembler = OnlineRead(plan, wanted_features(plan)), Assembler(plan, tiny.trace())
    decoder = RowDecoder(assembler, online.views)
    for view, schema in former.items():
        online.readers[view].learn(schema)
        decoder.learn(view, schema)
    packed = [[None if row is None else packed_row(row) for row in one] for one in found]
    views = {
        view: admit(plan, view, online.readers[view].read([row[place] for row in packed]), np.int64(at))
        for place, view in enumerate(online.views)
    }
    matrix = assembler.assemble(views, request)
    for _ in range(2):  # the second time with the shape that was common in the first
        decoded = decoder.decode(packed, at, request)
        assert decoded is not None
        assert decoded.matrix.tobytes() == matrix.tobytes()
        statuses = np.frombuffer(decoded.statuses, np.uint8).reshape(len(matrix), -1)
        assert all(statuses[:, p].tolist() == views[v].status.tolist() for p, v in enumerate(online.views))
    event(f"{len({row.schema for one in found for row in one if row is not None})} schemas")


KEY = JoinKey("k", "k", "Int64")
FIELDS = (Field("x", "Float64"), Field("n", "Int64"), Field("s", "String"), Field("t", "Bytes"))
VIEW = PlanView("v", "v", (KEY,), FIELDS, 0, "event_timestamp")
PLAN = Plan(
    "p",
    "p",
    (VIEW,),
    (),
    (),
    (ModelColumn("n", StoredFeature("v", "n")), ModelColumn("x", StoredFeature("v", "x"), 7.0)),
)


def take(*packed: bytes | None, few: int = FEW):
    return RowDecoder(Assembler(PLAN, None), ("v",), few=few).decode([[one] for one in packed], 10, {})


def row(x: float | None = 1.5, n: int | None = 3) -> bytes:
    return packed_row(Row((), 5, 5, False, (x, n, "text", b"bytes"), FIELDS))


def test_tombstones_of_every_kind_keep_the_shapes_few():
    decoder = RowDecoder(Assembler(PLAN, None), ("v",))
    gone = Row((), 5, 5, True, (1.5, 3, "text", b"bytes"), FIELDS)
    for packed in (row(), packed_row(gone), packed_row(gone, older=True), row(n=2**40)):
        assert decoder.decode([[packed]], 10, {}) is not None
    assert len(decoder._shapes) == 2
    many = decoder.decode([[packed_row(gone)], [row()], [packed_row(gone, older=True)]], 10, {})
    assert many is not None
    assert list(many.statuses) == [2, 0, 2]
    np.testing.assert_array_equal(many.matrix, np.array([[np.nan, 7], [3, 1.5], [np.nan, 7]], np.float32))


def test_one_row_and_many():
    decoded = take(row())
    assert decoded is not None
    assert decoded.matrix.tolist() == [[3.0, 1.5]]
    many = take(row(), None, row(None, 2**60 + 1))
    assert many is not None
    np.testing.assert_array_equal(many.matrix, np.array([[3, 1.5], [np.nan, 7], [2**60 + 1, 7]], np.float32))
    assert list(many.statuses) == [0, 2, 0]
    assert many.orders[16:32] == b"\xff" * 16
    assert MISSING == 2**63 - 1


@pytest.mark.parametrize("n", [2**53 + 1, 2**24 + 1, 2**54 + 2**30 + 1, 2**63 - 1, -(2**63)])
@pytest.mark.parametrize("few", [FEW, 0])
def test_large_integers_are_rounded_once(n: int, few: int):
    decoded = take(row(n=n), few=few)
    assert decoded is not None
    assert decoded.matrix[0, 0].tobytes() == np.array([n], np.int64).astype(np.float32)[0].tobytes()


@pytest.mark.parametrize("few", [FEW, 0])
def test_a_number_beyond_float32_is_infinite(few: int):
    decoded = take(row(1e300), few=few)
    assert decoded is not None
    assert decoded.matrix[0, 1] == np.inf


@pytest.mark.parametrize(
    "bad",
    [b"", b"short", row()[:-1], row() + b"x", b"x" * len(row()), row()[:30]]
    + [row()[:20] + bytes([flags]) + row()[21:] for flags in (0, 1, 3, 4, 128, 130)],
)
@pytest.mark.parametrize("few", [FEW, 0])
def test_what_is_unusual_is_left_to_the_slow_path(bad: bytes, few: int):
    assert take(bad, few=few) is None
    assert take(row(), bad, few=few) is None
    assert take(bad, row(), few=few) is None


def test_a_few_rows_of_any_form_are_unpacked_one_at_a_time(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delattr(BatchUnpacker, "read")
    gone = packed_row(Row((), 5, 5, True, (1.5, 3, "text", b"bytes"), FIELDS))
    decoded = take(row(), None, row(None, None), row(n=2**40), gone, row(n=-(2**53)))
    assert decoded is not None
    nothing = [np.nan, 7]
    expected = [[3, 1.5], nothing, nothing, [2**40, 1.5], nothing, [-(2**53), 1.5]]
    np.testing.assert_array_equal(decoded.matrix, np.array(expected, np.float32))
    assert list(decoded.statuses) == [0, 2, 0, 0, 2, 0]
