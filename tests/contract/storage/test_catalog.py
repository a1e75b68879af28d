from __future__ import annotations

import msgspec
import pytest
from hypothesis import given

from skewless.contract.errors import ContractMismatch
from skewless.contract.model.assembler import wanted_features
from skewless.contract.plan import Field
from skewless.contract.storage.catalog import (
    catalog_key,
    confirm,
    parse_schema,
    parse_view,
    same_rows,
    schema_entry,
    schema_field,
    view_entry,
    view_field,
)
from skewless.contract.storage.packed_row import RowReader, fingerprint
from tests.models.flight_plan import AIRCRAFT, CITY, PLAN, but
from tests.oracles import Row, packed_row
from tests.strategies import plans


def catalog(plan):
    found = {}
    for view in plan.views:
        found |= schema_entry(view) | view_entry(view)
    return found


@given(plans())
def test_a_plan_is_confirmed_by_the_catalog_of_its_own_views(plan):
    confirm(plan, catalog(plan))


def test_a_schema_out_of_the_catalog_reads_the_rows_that_were_written_with_it():
    schema = (Field("s", "String"), Field("i", "Int64"))
    row = packed_row(Row((), 1, 2, False, ("é", 7), schema))
    stored = schema_entry(but(AIRCRAFT, fields=schema))[schema_field(row[16:20])]
    assert parse_schema(stored) == schema
    assert fingerprint(parse_schema(stored)) == row[16:20]
    assert RowReader("v", schema[1:], [parse_schema(stored)]).read([row]).columns[0].data.tolist() == [7]


def test_a_store_that_knows_nothing_of_a_view_is_named_with_every_difference():
    held = catalog(PLAN) | {view_field("aircraft"): msgspec.json.encode(but(AIRCRAFT, ttl_us=1))}
    held[view_field("city")] = None
    with pytest.raises(ContractMismatch, match="lateness") as refused:
        confirm(PLAN, held)
    assert len(refused.value.differences) == 2
    assert "aircraft: ttl was" in str(refused.value)
    assert "city: the view" in str(refused.value)
    with pytest.raises(ContractMismatch, match="absent"):
        confirm(PLAN, {})


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"fields": (Field("later", "Float32"), *AIRCRAFT.fields[1:])}, "and is absent in the store"),
        ({"fields": (Field(AIRCRAFT.fields[0].name, "Bytes"), *AIRCRAFT.fields[1:])}, "and is Bytes in the store"),
        ({"ttl_us": AIRCRAFT.ttl_us + 1}, "aircraft: ttl was 1:00:00 in training and is 1:00:00.000001"),
        ({"known_by": "event_timestamp"}, "known_by was created_timestamp in training and is event_timestamp"),
        ({"deleted_field": "gone_now"}, "and is gone_now in the store"),
        ({"join_keys": ()}, r"join key was tail_number String in training and is none in the store"),
    ],
    ids=["renamed", "retyped", "ttl", "known by", "tombstones", "keys"],
)
def test_each_change_of_a_definition_is_refused_by_name(change, told):
    with pytest.raises(ContractMismatch, match=told) as refused:
        confirm(PLAN, catalog(PLAN) | view_entry(but(AIRCRAFT, **change)))
    assert len(refused.value.differences) == 1
    assert refused.value.differences[0].startswith("aircraft: ")


@pytest.mark.parametrize("entry", [b"garbage", b"\xff", b"{}", b'{"name":"\xff"}', b"[1]"])
def test_an_entry_that_this_version_cannot_read_is_a_difference(entry):
    with pytest.raises(ContractMismatch, match=r"city: the definition.*another version"):
        confirm(but(PLAN, views=(CITY,)), {view_field("city"): entry})


def test_no_entity_has_the_key_of_the_catalog():
    """Entity keys begin with a small number of join keys, little-endian."""
    assert int.from_bytes(catalog_key("p")[:4], "little") > 2**24


def test_a_view_out_of_the_catalog_is_the_view_that_was_put_in():
    assert parse_view(view_entry(AIRCRAFT)[view_field(AIRCRAFT.stored_as)]) == AIRCRAFT
    assert parse_view(b"{") is None


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"ttl_us": AIRCRAFT.ttl_us - 1}, True),
        ({"ttl_us": AIRCRAFT.ttl_us + 1}, False),
        ({"ttl_us": 0}, False),
        ({"fields": (*AIRCRAFT.fields, Field("new", "Int64"))}, False),
        ({"fields": AIRCRAFT.fields[::-1]}, len(AIRCRAFT.fields) < 2),
        ({"deleted_field": "gone_now"}, False),
    ],
)
def test_rows_stay_good_for_as_long_as_a_writer_would_write_them_again(change: dict[str, object], same: bool):
    assert same_rows(but(AIRCRAFT, **change), AIRCRAFT) is same
    assert not same_rows(AIRCRAFT, None)


def test_features_that_the_model_does_not_use_may_come_and_go():
    used = wanted_features(PLAN)
    slim = [but(view, fields=(Field("unrelated", "Int64"), *used[view.name])) for view in PLAN.views]
    assert any(len(used[view.name]) < len(view.fields) for view in PLAN.views)
    confirm(PLAN, {key: value for view in slim for key, value in view_entry(view).items()})
