"""Expectations: tags of registered definitions, and tags that say nothing that can be checked."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from feast import Entity, FeatureView, Field, FileSource, ValueType
from feast.types import Array, Float32, Int64, String

from skewless.definitions.compiler import compile_tagged
from skewless.definitions.expectations import (
    BadExpectation,
    ColumnExpectation,
    ValueBounds,
    ViewExpectations,
    expectations,
)

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning:feast", "ignore::DeprecationWarning")


def read(view_tags=None, field_tags=None, entity_tags=None, dtype=Float32) -> ViewExpectations:
    entity = Entity(name="origin", join_keys=["code"], value_type=ValueType.STRING, tags=entity_tags)
    view = FeatureView(
        name="weather",
        entities=[entity],
        schema=[Field(name="code", dtype=String), Field(name="wind", dtype=dtype, tags=field_tags)],
        source=FileSource(name="weather", path="weather", timestamp_field="event_timestamp"),
        tags=view_tags,
    )
    offline = SimpleNamespace(known_by="created_timestamp")
    config = SimpleNamespace(
        offline_store=offline, registry=SimpleNamespace(enable_online_feature_view_versioning=False)
    )
    store = SimpleNamespace(get_entity=lambda name: entity, config=config)
    return expectations(compile_tagged(store, view, Path("/tables")))


def test_a_view_without_tags_expects_nothing():
    assert read() == ViewExpectations("weather")
    assert not read({"domain": "weather"}, {"default": "0"})


def test_every_tag():
    found = read(
        {"expect_unique": "true", "expect_rows_per_day": "30..", "expect_fresh_within": "90m"},
        {"expect_range": "-0.5..120, 98%", "expect_null_share": "5%"},
        {"expect_values": "EWR, JFK"},
    )
    assert found == ViewExpectations(
        "weather",
        (
            ColumnExpectation("wind", ValueBounds(-0.5, 120.0, 0.98), 0.05),
            ColumnExpectation("code", values=("EWR", "JFK")),
        ),
        unique=True,
        rows_per_day=ValueBounds(30.0, None),
        fresh_within=timedelta(minutes=90),
    )
    assert str(found.columns[0].bounds) == "-0.5..120 for 98.0000% of them"
    assert read(None, {"expect_range": "..7"}, dtype=Int64).columns[0].bounds == ValueBounds(None, 7.0)


@pytest.mark.parametrize(
    ("view", "field", "dtype", "told"),
    [
        ({"expect_range": "0..1"}, None, Float32, "'expect_range' is unknown here; known are"),
        (None, {"expect_unique": "true"}, Float32, "'expect_unique' is unknown here"),
        (None, {"expect_rnage": "0..1"}, Float32, "'expect_rnage' is unknown here"),
        (None, {"expect_range": "0-1"}, Float32, "is '0-1', not a range such as"),
        (None, {"expect_range": "a..b"}, Float32, "has the end 'a', which is not a number"),
        (None, {"expect_range": "2..1"}, Float32, "whose lower end is above the upper"),
        (None, {"expect_range": "0..1, 120%"}, Float32, "not a share"),
        (None, {"expect_range": "0..1"}, String, "is on 'wind', a String; only numbers have a range"),
        (None, {"expect_range": "0..1"}, Array(Float32), "only numbers have a range"),
        (None, {"expect_null_share": "many"}, Float32, "not a number"),
        ({"expect_unique": "yes"}, None, Float32, "is 'yes', not true or false"),
        ({"expect_fresh_within": "soon"}, None, Float32, "is 'soon', not an age such as"),
    ],
)
def test_a_tag_that_says_nothing(view, field, dtype, told):
    with pytest.raises(BadExpectation, match="feature view 'weather': tag") as error:
        read(view, field, dtype=dtype)
    assert told in str(error.value)
