"""Columns of Python values say what Feast's own response of the same messages says, for every type."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pandas as pd
import pytest
from feast.data_source import PushMode
from feast.online_response import OnlineResponse
from feast.protos.feast.serving.ServingService_pb2 import GetOnlineFeaturesResponse
from feast.protos.feast.types.Value_pb2 import Value
from feast.types import ValueType
from hypothesis import given, settings
from hypothesis import strategies as st

from skewless.contract.errors import CorruptRow
from skewless.contract.plan import JoinKey, PlanView
from skewless.feast.online.online_read import OnlineViewRead
from skewless.feast.online.online_response import ColumnsResponse, ViewColumns
from skewless.feast.online.view_decoder import FEW, ViewDecoder
from tests.feast.online_features import write_tables
from tests.oracles import packed_row
from tests.strategies import INSTANTS, rows, schemas
from tests.tables.scratch_project import HOUR, NOW, ScratchProject

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning:feast", "ignore::DeprecationWarning")
KEYS = (JoinKey("id", "id", "Int64"),)


def view_of(schema) -> PlanView:
    return PlanView("v", "v", KEYS, schema, 3_600_000_000, "event_timestamp")


def read(schema, packed, at) -> OnlineViewRead:
    decoder = ViewDecoder("p", view_of(schema), [field.name for field in schema])
    return OnlineViewRead(decoder.types, decoder.decode(packed, at), {})


def response(view: OnlineViewRead, names: list[str], returned: set[str], *, versions: bool) -> ColumnsResponse:
    ids = [Value(int64_val=number) for number in range(len(view.decoded.event))]
    given = GetOnlineFeaturesResponse()
    given.metadata.feature_names.val.append("id")
    given.results.append(GetOnlineFeaturesResponse.FeatureVector(values=ids))
    types = dict.fromkeys(names, ValueType.UNKNOWN)
    return ColumnsResponse(given, [ViewColumns("v", 3, names, view)], returned, lambda: types, versions=versions)


def same(one, other) -> bool:
    """Equal, where a NaN equals itself."""
    if isinstance(one, float) and isinstance(other, float):
        return np.float64(one).tobytes() == np.float64(other).tobytes()
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return type(one) is type(other) and (one == other or repr(one) == repr(other))


@settings(max_examples=120)
@given(st.data(), schemas(min_size=1, max_size=5), INSTANTS, st.booleans(), st.booleans())
def test_the_dictionary_is_that_of_the_messages(data, schema, at, versions, times):
    packed = data.draw(st.lists(st.one_of(st.none(), rows(schema).map(packed_row)), min_size=1, max_size=4))
    names = [field.name for field in schema]
    returned = {"id", *data.draw(st.lists(st.sampled_from(names)))}
    try:
        view = read(schema, packed, at)
    except CorruptRow:  # values that are no messages of Feast are another test's
        return
    given = response(view, names, returned, versions=versions)
    told = OnlineResponse(given.proto, given._feature_types)
    try:
        expected = told.to_dict(times)
    except (ValueError, OverflowError):  # a time that Python's datetime does not have
        return
    assert list(given.proto.metadata.feature_names.val) == ["id", *[name for name in names if name in returned]]
    assert [view.name for view in given.proto.metadata.feature_view_metadata] == ["v"] * versions
    assert same(given.to_dict(times), expected)
    assert list(given.to_dict(times)) == list(expected)


@settings(max_examples=60)
@given(st.data(), schemas(max_size=4), INSTANTS)
def test_few_rows_say_what_they_say_among_many(data, schema, at):
    packed = data.draw(st.lists(st.one_of(st.none(), rows(schema).map(packed_row)), min_size=1, max_size=4))
    many = [*packed, *[None] * FEW]
    try:
        one, other = read(schema, packed, at), read(schema, many, at)
    except CorruptRow:  # as above
        return
    count = len(packed)
    assert one.decoded.event == other.decoded.event[:count]
    assert one.statuses() == [statuses[:count] for statuses in other.statuses()]
    for mine, theirs in zip(one.decoded.values, other.decoded.values, strict=True):
        assert same(mine, theirs[:count])


def test_a_response_is_what_feast_made_of_the_same_rows(project: ScratchProject):
    write_tables(project)
    store = project.store()
    store.materialize(NOW - timedelta(days=30), NOW)
    tails = ["N1", "N2", "N5", "?"]
    answer = store.get_online_features(["flown:hours", "flown:note", "told:fuel"], {"tailnum": tails})
    assert isinstance(answer, ColumnsResponse)
    assert answer.to_dict() == {
        "tailnum": tails,
        "hours": [2.0, None, None, None],
        "note": ["é", None, None, None],
        "fuel": [1.0, 2.0, None, None],
    }
    assert answer.to_dict() == OnlineResponse(answer.proto).to_dict()
    assert answer.to_df().equals(pd.DataFrame(answer.to_dict()))
    assert answer.to_arrow().to_pydict() == answer.to_dict()
    full = store.get_online_features(["flown:hours"], {"tailnum": tails}, full_feature_names=True)
    assert list(full.to_dict(include_event_timestamps=True)) == [
        *("tailnum", "tailnum__ts", "flown__hours", "flown__hours__ts"),
    ]


def test_a_definition_is_compiled_once_until_it_changes(project: ScratchProject, monkeypatch):
    store = project.store()
    columns = {"tailnum": ["N1"], "fuel": [1.5], "gate": [7], "created_timestamp": [NOW - HOUR]}
    store.push("tell", pd.DataFrame(columns | {"event_timestamp": [NOW - HOUR]}), to=PushMode.ONLINE)
    compiled = []
    init = ViewDecoder.__init__
    monkeypatch.setattr(ViewDecoder, "__init__", lambda self, *given: compiled.append(given) or init(self, *given))

    def fuel() -> object:
        return store.get_online_features(["told:fuel"], {"tailnum": ["N1"]}).to_dict()["fuel"]

    assert [fuel(), fuel(), fuel()] == [[1.5]] * 3
    assert len(compiled) <= 1


def test_each_read_is_by_the_definition_that_was_applied_last(project: ScratchProject):
    store = project.store()
    columns = {"tailnum": ["N1"], "fuel": [1.5], "gate": [7], "created_timestamp": [NOW - HOUR]}
    store.push("tell", pd.DataFrame(columns | {"event_timestamp": [NOW - HOUR]}), to=PushMode.ONLINE)
    answers = []
    for number in range(10):
        view = store.get_feature_view("told")
        view.ttl = timedelta(minutes=1, days=number % 2)
        store.apply(view)
        answers += store.get_online_features(["told:fuel"], {"tailnum": ["N1"]}).to_dict()["fuel"]
    assert answers == [None, 1.5] * 5
