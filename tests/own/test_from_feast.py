"""What `make own-from-feast` finds in two outputs."""

from __future__ import annotations

from tests.own.from_feast import MORE_COLUMNS, differences, printed_values

OUTPUT = """\
--- Historical features for training ---
frame: {"driver_id": [1], "event_timestamp": ["now"], "x": [0.5], "more": [1]}
--- Online features ---
Materializing 2 feature views
conv_rate  :  [0.5, None]
map  :  [{'a': '1', 'b': '2'}]
"""


def found(other: str, doctor: str = MORE_COLUMNS) -> list[str]:
    return [*differences([*printed_values(OUTPUT)], [*printed_values(other)], doctor)]


def test_the_time_of_a_run_and_the_order_in_a_map_are_no_differences():
    assert len([*printed_values(OUTPUT)]) == 3
    assert found(OUTPUT.replace('"now"', '"later"').replace("'a': '1', 'b': '2'", "'b': '2', 'a': '1'")) == []


def test_another_value_is_one():
    assert found(OUTPUT.replace("[0.5, None]", "[0.5, 0.0]")) == [
        "Online features: conv_rate was [0.5, None], is [0.5, 0.0]"
    ]
    assert found(OUTPUT.replace('"x": [0.5]', '"x": [0.25]')) == [
        "Historical features for training: column x was [0.5], is [0.25]"
    ]


def test_columns_may_only_go_where_the_doctor_said_so():
    fewer = OUTPUT.replace(', "more": [1]', "")
    assert found(fewer) == []
    assert "are gone, and the doctor did not say so" in found(fewer, doctor="")[0]
    assert "columns ['new'] are new" in found(OUTPUT.replace('"more"', '"new"'))[0]


def test_what_is_not_printed_any_more_is_one():
    assert found(OUTPUT.replace("conv_rate", "acc_rate"))
    assert found(OUTPUT.rsplit("map", 1)[0])
