"""Law 2 in miniature: what is read online at t, after all that was known by t was written, is the join at t."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from skewless.contract.admission import FeatureStatus
from skewless.contract.errors import CorruptRow, InvalidInput, UnknownSchema
from skewless.contract.model.assembler import Assembler, wanted_features
from skewless.contract.plan import Field, JoinKey, Plan, PlanView, RequestInput, StoredFeature
from skewless.contract.storage.lookup import LookupBatch, OnlineRead
from tests.oracles import Row, Spine, bits, entity_key, feature_status, join, merged, model_input, packed_row, rule_of
from tests.strategies import MOMENTS, OLD_MOMENTS, histories, plans, spines, values
from tests.tables.arrays import as_values, values_bits

Store = Mapping[object, bytes]


def place(plan: Plan, view: PlanView, row: Row) -> tuple[bytes, bytes]:
    """The hash and the field of a row in the online store."""
    keys = {k.key: (k.dtype, value) for k, value in zip(view.join_keys, row.key, strict=True)}
    return entity_key(plan.project, keys or {"__dummy_id": ("String", "")}), view.stored_as.encode()


def known(plan: Plan, past: Mapping[str, Sequence[Row]], at: int) -> list[tuple[tuple[bytes, bytes], bytes]]:
    """The writes of a materialization up to `at`: rows of the future wait."""
    return [
        (place(plan, view, row), packed_row(row))
        for view in {view.stored_as: view for view in plan.views}.values()
        for row in past[view.stored_as]
        if rule_of(view).admits(row, at)
    ]


def replies(batch: LookupBatch, store: Store) -> list[list[bytes | None]]:
    return [[store.get((lookup.key, field)) for field in lookup.fields] for lookup in batch.lookups]


def columns(plan: Plan, spine: Sequence[Spine]) -> dict[str, list[str | bytes | int | None]]:
    return {key.name: [row.keys[key.name] for row in spine] for key in plan.join_keys}


@st.composite
def worlds(draw):
    """A plan, what happened, who asks and when, and the state of the store by then."""
    plan = draw(plans())
    moments = draw(st.sampled_from([MOMENTS, OLD_MOMENTS]))
    past = draw(histories(plan, moments))
    at = draw(moments) + draw(st.sampled_from([-1, 0, 0, 1]))
    earlier = draw(moments)
    writes = known(plan, past, at) + known(plan, past, min(earlier, at))
    spine = [Spine(row.keys, at) for row in draw(spines(plan, moments))]
    return plan, past, at, merged(draw(st.permutations(writes))), spine


def read(plan: Plan, wanted, store: Store, spine: Sequence[Spine], at: int):
    online = OnlineRead(plan, wanted)
    batch = online.batch(columns(plan, spine), len(spine))
    return online.decode(batch, replies(batch, store), at)


@settings(max_examples=300)
@given(worlds())
def test_online_equals_the_join_bit_for_bit(world):
    plan, past, at, store, spine = world
    wanted = {view.name: view.fields for view in plan.views}
    found = read(plan, wanted, store, spine, at)
    joined = join(spine, past, plan)
    assert len(joined) == len(spine)
    for view in plan.views:
        admitted = found[view.name]
        told = [row[view.name] for row in joined]
        assert [FeatureStatus(status).name for status in admitted.status.tolist()] == [one.status for one in told]
        for one in told:
            event(one.status)
        for index, field in enumerate(view.fields):
            expected = [one.values[index] for one in told]
            assert _bits(field.dtype, admitted.values(index)) == [bits(field.dtype, v) for v in expected]
            assert [FeatureStatus(status).name for status in admitted.feature_status(index).tolist()] == [
                feature_status(one.status, value) for one, value in zip(told, expected, strict=True)
            ]
        used = [(one.row.event, one.row.created) for one in told if one.row is not None]
        there = admitted.rows.event != np.iinfo(np.int64).max
        times = zip(admitted.rows.event[there].tolist(), admitted.rows.created[there].tolist(), strict=True)
        assert list(times) == used


def _bits(dtype, found):
    """A stale value or a tombstone's still lies there, but nobody may see it."""
    return [b if v else None for b, v in zip(_raw(dtype, found), found.valid.tolist(), strict=True)]


def _raw(dtype, found):
    whole = type(found)(found.data, np.ones(len(found.valid), bool))
    if found.data.dtype == object:
        return [bits(dtype, value) for value in found.data.tolist()]
    return values_bits(dtype, whole)


@settings(max_examples=100)
@given(st.data(), worlds())
def test_the_model_input_is_that_of_the_join(data, world):
    plan, past, at, store, spine = world
    if not plan.columns:
        return
    sent = {
        field.name: data.draw(st.lists(values(field.dtype), min_size=len(spine), max_size=len(spine)))
        for field in plan.request
    }
    assembler = Assembler(plan, None)
    found = read(plan, wanted_features(plan), store, spine, at)
    request = {field.name: as_values(field.dtype, sent[field.name]) for field in plan.request}
    matrix = assembler.assemble(found, request)
    assert matrix.shape == (len(spine), len(plan.columns))
    for number, row in enumerate(join(spine, past, plan)):
        held = {
            StoredFeature(view.name, field.name): value
            for view in plan.views
            for field, value in zip(view.fields, row[view.name].values, strict=True)
        }
        held |= {RequestInput(name): column[number] for name, column in sent.items()}
        assert matrix[number].tobytes() == b"".join(value.tobytes() for value in model_input(plan, held))


@given(worlds())
def test_each_entity_is_asked_for_once_whatever_the_number_of_rows(world):
    plan, _, _, _, spine = world
    online = OnlineRead(plan, {view.name: () for view in plan.views})
    once = online.batch(columns(plan, spine), len(spine))
    twice = online.batch(columns(plan, spine * 2), len(spine) * 2)
    assert once.lookups == twice.lookups
    asked = [sorted(set(places.tolist()) - {-1}) for places in once.places]
    assert list(chain.from_iterable(asked)) == list(range(len(once.lookups)))
    for group in asked:
        assert len({once.lookups[place].key for place in group}) == len(group)


def view(name, *join_keys, stored_as=None):
    return PlanView(name, stored_as or name, join_keys, (Field("x", "Int64"),), 0, "event_timestamp")


def plan_of(*views):
    return Plan("p", "p", views, (), (), ())


K = JoinKey("k", "k", "Int64")
OTHER = JoinKey("other", "k", "Int64")


def test_views_of_one_entity_come_with_one_lookup():
    plan = plan_of(view("a", K), view("b", K), view("c"))
    batch = OnlineRead(plan, wanted_features(plan)).batch({"k": [7, 7, None, 8]}, 4)
    assert [lookup.fields for lookup in batch.lookups] == [(b"a", b"b"), (b"a", b"b"), (b"c",)]
    assert [places.tolist() for places in batch.places] == [[0, 0, -1, 1], [2, 2, 2, 2]]


def test_join_keys_in_another_order_are_the_same_entity():
    plan = plan_of(view("a", K, JoinKey("l", "l", "String")), view("b", JoinKey("l", "l", "String"), K))
    batch = OnlineRead(plan, wanted_features(plan)).batch({"k": [7], "l": ["x"]}, 1)
    assert [lookup.fields for lookup in batch.lookups] == [(b"a", b"b")]


def test_an_aliased_view_reads_the_same_hash_by_another_column():
    plan = plan_of(view("a", K), view("a_too", OTHER, stored_as="a"))
    online = OnlineRead(plan, {"a": plan.views[0].fields, "a_too": plan.views[1].fields})
    batch = online.batch({"k": [1], "other": [2]}, 1)
    rows = {n: packed_row(Row((n,), 0, 0, False, (n * 10,), plan.views[0].fields)) for n in (1, 2)}
    store = {place(plan, plan.views[0], Row((n,), 0, 0, False, (), ())): row for n, row in rows.items()}
    found = online.decode(batch, replies(batch, store), 0)
    assert found["a"].values(0).data.tolist() == [10]
    assert found["a_too"].values(0).data.tolist() == [20]


def test_nobody_is_asked_for_nothing():
    plan = plan_of(view("a", K))
    online = OnlineRead(plan, {"a": plan.views[0].fields})
    for keys, rows in (([], 0), ([None, None], 2)):
        batch = online.batch({"k": keys}, rows)
        assert batch.lookups == ()
        found = online.decode(batch, [], 0)["a"]
        assert found.status.tolist() == [FeatureStatus.NOT_FOUND] * rows
        assert found.values(0).valid.tolist() == [False] * rows


def test_a_bad_row_is_named_by_its_view_and_a_bad_key_by_its_name():
    plan = plan_of(view("a", K))
    online = OnlineRead(plan, {"a": plan.views[0].fields})
    batch = online.batch({"k": [7]}, 1)
    with pytest.raises(CorruptRow, match="'a'"):
        online.decode(batch, [[b"short"]], 0)
    with pytest.raises(UnknownSchema, match="'a'"):
        online.decode(batch, [[b"x" * 40]], 0)
    with pytest.raises(InvalidInput, match="k"):
        online.batch({"k": ["seven"]}, 1)
