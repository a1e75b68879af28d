from __future__ import annotations

import hashlib

import msgspec
import pytest
from hypothesis import given

from skewless.contract.errors import InvalidPlan, UnsupportedType
from skewless.contract.model.assembler import fields_of
from skewless.contract.plan import Field, JoinKey, Plan, RequestInput, StoredFeature, TransformOutput, differences
from skewless.contract.plan_validation import check, plan_from_json
from tests.models.flight_plan import AIRCRAFT, CITY, CLOCK, PLAN, but
from tests.strategies import plans


def test_the_plan_of_these_tests_is_a_good_one():
    assert check(PLAN) is PLAN


@given(plans())
def test_a_plan_survives_json(plan):
    back = msgspec.json.decode(plan.to_json(), type=Plan)
    assert back == plan
    assert back.to_json() == plan.to_json()
    assert back.fingerprint == plan.fingerprint


def test_the_plan_with_a_transform_survives_json():
    back = plan_from_json(PLAN.to_json())
    assert back == PLAN
    assert back.fingerprint == PLAN.fingerprint
    assert hash(back) == hash(PLAN)


def test_the_fingerprint_is_that_of_its_canonical_json():
    """Golden: bundles out there carry it, so a change here is a change of format."""
    assert PLAN.to_json() == GOLDEN_JSON
    assert PLAN.fingerprint == hashlib.sha256(GOLDEN_JSON).hexdigest()


def test_a_whole_number_as_default_is_the_float_that_it_reads_back_as():
    whole, real = (but(PLAN, columns=(but(PLAN.columns[0], default=d),)) for d in (0, 0.0))
    assert whole.fingerprint == real.fingerprint == plan_from_json(whole.to_json()).fingerprint


@pytest.mark.parametrize(
    "changed",
    [
        but(PLAN, name="other"),
        but(PLAN, columns=PLAN.columns[::-1]),
        but(PLAN, columns=(but(PLAN.columns[0], default=None), *PLAN.columns[1:])),
        but(PLAN, columns=(but(PLAN.columns[0], default=-0.0), *PLAN.columns[1:])),
        but(PLAN, transforms=(but(CLOCK, digest="cd" * 32),)),
        but(PLAN, views=(but(AIRCRAFT, ttl_us=1), CITY)),
        but(PLAN, views=(but(AIRCRAFT, known_by="event_timestamp"), CITY)),
        but(PLAN, views=(but(AIRCRAFT, deleted_field=None), CITY)),
    ],
)
def test_whatever_changes_a_value_changes_the_fingerprint(changed):
    assert changed.fingerprint != PLAN.fingerprint


def with_aircraft(**changes):
    return but(PLAN, views=(but(AIRCRAFT, **changes), CITY))


def with_clock(**changes):
    return but(PLAN, transforms=(but(CLOCK, **changes),))


def with_column(**changes):
    return but(PLAN, columns=(but(PLAN.columns[0], **changes), *PLAN.columns[1:]))


def test_a_join_key_may_be_a_request_input_of_its_type():
    plan = with_aircraft(join_keys=(JoinKey("hour", "tail_number", "Int32"),))
    assert check(plan) is plan
    assert [field.name for field in fields_of(plan)] == ["hour", *[f.name for f in PLAN.request if f.name != "hour"]]


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (but(PLAN, views=(AIRCRAFT, CITY, CITY)), "'city' appears twice"),
        (but(PLAN, request=(*PLAN.request, PLAN.request[0])), "'hour' appears twice"),
        (but(PLAN, transforms=(CLOCK, CLOCK)), "'clock' appears twice"),
        (with_clock(name="aircraft"), "'aircraft' appears twice"),
        (but(PLAN, columns=(*PLAN.columns, PLAN.columns[0])), "'aircraft__delay' appears twice"),
        (but(PLAN, columns=()), "no columns"),
        (
            with_aircraft(join_keys=(JoinKey("hour", "tail_number", "String"),)),
            "with another type, 'hour' appears twice",
        ),
        (
            with_aircraft(join_keys=(*AIRCRAFT.join_keys, JoinKey("b", "tail_number", "String"))),
            "'tail_number'",
        ),
        (
            but(PLAN, views=(AIRCRAFT, but(CITY, join_keys=(JoinKey("tail", "tail_number", "Int64"),)))),
            "'tail' appears twice",
        ),
        (with_aircraft(fields=(*AIRCRAFT.fields, AIRCRAFT.fields[0])), "feature 'delay' appears twice"),
        (with_aircraft(ttl_us=-1), "ttl of feature view 'aircraft' is negative"),
        (with_clock(outputs=(*CLOCK.outputs, CLOCK.outputs[0])), "output 'sine' appears twice"),
        (with_clock(inputs=(*CLOCK.inputs, CLOCK.inputs[0])), "parameter 'hour' appears twice"),
        (with_clock(inputs=(("hour", RequestInput("minute")),)), "minute"),
        (with_clock(inputs=(("hour", StoredFeature("aircraft", "speed")),)), "speed"),
        (with_column(source=StoredFeature("aircraft", "speed")), "speed"),
        (with_column(source=StoredFeature("airport", "delay")), "airport"),
        (with_column(source=RequestInput("minute")), "minute"),
        (with_column(source=TransformOutput("clock", "cosine")), "cosine"),
        (with_column(default=float("nan")), "default of column 'aircraft__delay'"),
        (with_column(default=float("inf")), "default of column 'aircraft__delay'"),
        (with_column(default=1e39), "default of column 'aircraft__delay'"),
    ],
)
def test_a_wrong_plan_is_refused_and_the_wrong_thing_named(wrong, told):
    with pytest.raises(InvalidPlan, match=told) as refused:
        check(wrong)
    assert refused.value.name == "lateness"


@pytest.mark.parametrize(
    "wrong",
    [
        with_aircraft(fields=(*AIRCRAFT.fields, Field("odd", "Array(Map, Map)"))),
        with_aircraft(join_keys=(JoinKey("odd", "odd", "Map"),)),
        but(PLAN, request=(*PLAN.request, Field("odd", "Map"))),
        with_clock(outputs=(*CLOCK.outputs, Field("odd", "Map"))),
    ],
)
def test_a_type_that_cannot_be_stored_is_refused_and_named(wrong):
    with pytest.raises(UnsupportedType, match=r"odd.*Map"):
        check(wrong)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"null",
        b"[]",
        b"{}",
        PLAN.to_json()[:-1],
        PLAN.to_json() + b"}",
        PLAN.to_json().replace(b'"format":1', b'"format":2'),
        PLAN.to_json().replace(b'"ttl_us":0', b'"ttl_us":"0"'),
        PLAN.to_json().replace(b'"created_timestamp"', b'"guess"'),
        PLAN.to_json().replace(b'"type":"request"', b'"type":"magic"'),
        PLAN.to_json().replace(b"skewless", b"\xff\xfe"),
        b'{"future":' + b"[" * 100_000,
    ],
)
def test_bytes_that_are_no_plan_are_refused(data):
    with pytest.raises(InvalidPlan, match=r"'lateness'.*plan\.json"):
        plan_from_json(data, name="lateness")


def test_a_plan_from_json_is_checked():
    with pytest.raises(InvalidPlan, match="twice"):
        plan_from_json(but(PLAN, views=(CITY, CITY)).to_json())


def test_join_keys_come_once_in_order_of_first_use():
    second = but(CITY, join_keys=(JoinKey("city", "city", "String"), *AIRCRAFT.join_keys))
    assert but(PLAN, views=(AIRCRAFT, second)).join_keys == (Field("tail", "String"), Field("city", "String"))


def test_a_view_is_found_by_its_name_in_the_plan():
    assert PLAN.view("city") is CITY
    with pytest.raises(InvalidPlan, match="'town'"):
        PLAN.view("town")


@pytest.mark.parametrize(
    ("stored", "told"),
    [
        (AIRCRAFT, []),
        (but(AIRCRAFT, name="aliased", join_keys=(JoinKey("a", "tail_number", "String"),)), []),
        (but(AIRCRAFT, fields=(Field("new", "Map"), *AIRCRAFT.fields[::-1])), []),
        (None, ["aircraft: the view was defined in training and is absent"]),
        (but(AIRCRAFT, ttl_us=5), ["ttl was 1:00:00 in training and is 0:00:00.000005"]),
        (but(AIRCRAFT, known_by="event_timestamp"), ["known_by was created_timestamp .* is event_timestamp"]),
        (but(AIRCRAFT, deleted_field=None), ["deleted_field was scrapped in training and is none"]),
        (
            but(AIRCRAFT, join_keys=(JoinKey("tail", "tail", "String"),)),
            ["join key was tail_number String in training and is tail String"],
        ),
        (
            but(AIRCRAFT, join_keys=(JoinKey("tail", "tail_number", "Bytes"),)),
            ["join key was tail_number String in training and is tail_number Bytes"],
        ),
        (but(AIRCRAFT, fields=AIRCRAFT.fields[1:]), ["feature delay was Float32 in training and is absent"]),
        (
            but(AIRCRAFT, fields=(Field("delay", "Float64"), *AIRCRAFT.fields[1:]), ttl_us=0),
            ["ttl was", "feature delay was Float32 in training and is Float64"],
        ),
    ],
)
def test_each_difference_is_named_and_nothing_else(stored, told):
    import re

    found = [str(difference) for difference in differences(AIRCRAFT, stored, AIRCRAFT.fields)]
    assert len(found) == len(told)
    assert all(re.search(pattern, text) for pattern, text in zip(told, found, strict=True))


GOLDEN_JSON = (
    b'{"columns":[{"default":0.0,"name":"aircraft__delay","source":{"name":"delay","type":"feature","v'
    b'iew":"aircraft"}},{"default":null,"name":"distance","source":{"name":"distance","type":"request"'
    b'}},{"default":-1.5,"name":"clock__sine","source":{"name":"sine","transform":"clock","type":"comp'
    b'uted"}}],"format":1,"name":"lateness","project":"skewless","request":[{"dtype":"Int32","name":"h'
    b'our"},{"dtype":"Float32","name":"distance"}],"transforms":[{"digest":"ababababababababababababab'
    b'ababababababababababababababababababab","inputs":[["hour",{"name":"hour","type":"request"}],["de'
    b'lay",{"name":"delay","type":"feature","view":"aircraft"}]],"name":"clock","outputs":[{"dtype":"F'
    b'loat32","name":"sine"},{"dtype":"Float32","name":"late"}]}],"views":[{"deleted_field":"scrapped"'
    b',"fields":[{"dtype":"Float32","name":"delay"},{"dtype":"Int64","name":"seats"},{"dtype":"String"'
    b',"name":"maker"}],"join_keys":[{"dtype":"String","key":"tail_number","name":"tail"}],"known_by":'
    b'"created_timestamp","name":"aircraft","stored_as":"aircraft","ttl_us":3600000000},{"deleted_fiel'
    b'd":null,"fields":[{"dtype":"Float64","name":"delay"}],"join_keys":[],"known_by":"event_timestamp'
    b'","name":"city","stored_as":"city","ttl_us":0}]}'
)
