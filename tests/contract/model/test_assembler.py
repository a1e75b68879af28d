from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skewless.contract.admission import FeatureStatus
from skewless.contract.errors import InvalidPlan
from skewless.contract.model.assembler import Assembler, admit, column_types, fields_of, wanted_features
from skewless.contract.model.signature import MatrixSignature
from skewless.contract.plan import Field, ModelColumn, Plan, RequestInput, StoredFeature, TransformOutput
from skewless.contract.storage.packed_row import RowReader
from tests.models.flight_plan import AIRCRAFT, CITY, PLAN, but, clock
from tests.models.graphs import traced
from tests.oracles import Row, model_input, packed_row
from tests.strategies import NUMBERS, values
from tests.tables.arrays import as_values


@pytest.fixture(scope="module")
def assembler():
    return Assembler(PLAN, traced(PLAN, {"clock": clock}))


def admitted(view, rows, at):
    """The rows of one view (schema: its wanted features) after the admission rule."""
    wanted = wanted_features(PLAN)[view]
    decoded = RowReader(view, wanted, [wanted]).read([packed_row(row) for row in rows])
    return admit(PLAN, view, decoded, np.int64(at))


def row(view, values, *, event=0, created=0, deleted=False):
    return Row((), event, created, deleted, values, wanted_features(PLAN)[view])


@given(st.data(), st.lists(st.sampled_from(NUMBERS), min_size=1, max_size=5), st.integers(0, 5))
def test_the_matrix_is_the_oracles_one_value_at_a_time(data, dtypes, rows):
    request = tuple(Field(f"r{place}", dtype) for place, dtype in enumerate(dtypes))
    defaults = st.sampled_from([None, 0, -0.0, 0.1, 3e38, 1e-46])
    columns = tuple(ModelColumn(f"c{f.name}", RequestInput(f.name), data.draw(defaults)) for f in request)
    plan = Plan("s", "p", (), request, (), tuple(data.draw(st.permutations(columns))))
    sent = {f.name: data.draw(st.lists(values(f.dtype), min_size=rows, max_size=rows)) for f in request}
    matrix = Assembler(plan, None).assemble({}, {f.name: as_values(f.dtype, sent[f.name]) for f in request})
    assert matrix.dtype == np.float32
    assert matrix.flags.c_contiguous
    assert matrix.shape == (rows, len(columns))
    for place in range(rows):
        told = model_input(plan, {RequestInput(name): column[place] for name, column in sent.items()})
        assert matrix[place].tobytes() == b"".join(value.tobytes() for value in told)


def test_features_requests_and_transforms_meet_in_plan_order(assembler):
    views = {
        "aircraft": admitted("aircraft", [row("aircraft", (np.float32(20),)), row("aircraft", (None,))], 5),
        "city": admitted("city", [row("city", ()), row("city", ())], 5),
    }
    request = {"hour": as_values("Int32", [6, None]), "distance": as_values("Float32", [None, np.float32(9)])}
    matrix = assembler.assemble(views, request)
    assert assembler.names == ("aircraft__delay", "distance", "clock__sine")
    assert matrix[:, 0].tolist() == [20.0, 0.0]
    assert np.isnan(matrix[0, 1])
    assert matrix[1, 1] == 9.0
    assert matrix[0, 2] == pytest.approx(np.sin(0.25))
    assert np.isnan(matrix[1, 2])  # NaN is what the transform made of a null: a value, so no default

    found = assembler.values(views, request)
    assert set(found) == {*assembler.untransformed, TransformOutput("clock", "sine"), TransformOutput("clock", "late")}
    assert found[TransformOutput("clock", "late")].data.tolist() == [1.0, 0.0]
    assert assembler.complete({source: found[source] for source in assembler.untransformed}).keys() == found.keys()


def test_a_stale_a_deleted_and_a_future_row_are_null_and_say_why(assembler):
    ttl = AIRCRAFT.ttl_us
    delay = (np.float32(7),)
    rows = [
        row("aircraft", delay),
        row("aircraft", delay, event=-1, created=-1),
        row("aircraft", delay, event=ttl, created=ttl, deleted=True),
        row("aircraft", delay, event=ttl, created=ttl + 1),
        row("aircraft", (None,), event=ttl),
    ]
    view = admitted("aircraft", rows, ttl)
    expected = [
        FeatureStatus.PRESENT,
        FeatureStatus.STALE,
        FeatureStatus.NOT_FOUND,
        FeatureStatus.NOT_FOUND,
        FeatureStatus.NULL,
    ]
    assert view.feature_status(0).tolist() == expected
    assert view.status.tolist()[-1] == FeatureStatus.PRESENT
    assert view.values(0).valid.tolist() == [True, False, False, False, False]
    city = admitted("city", [row("city", ())] * 5, ttl)
    request = {"hour": as_values("Int32", [0] * 5), "distance": as_values("Float32", [None] * 5)}
    matrix = assembler.assemble({"aircraft": view, "city": city}, request)
    assert matrix[:, 0].tolist() == [7.0, 0.0, 0.0, 0.0, 0.0]


def test_no_rows_make_an_empty_matrix(assembler):
    views = {name: admitted(name, [], 0) for name in ("aircraft", "city")}
    request = {"hour": as_values("Int32", []), "distance": as_values("Float32", [])}
    assert assembler.assemble(views, request).shape == (0, 3)


def test_only_what_is_used_is_read():
    assert wanted_features(PLAN) == {"aircraft": (Field("delay", "Float32"),), "city": ()}
    both = but(PLAN, columns=(ModelColumn("a", StoredFeature("aircraft", "seats")), *PLAN.columns))
    assert wanted_features(both)["aircraft"] == AIRCRAFT.fields[:2]
    assert fields_of(PLAN) == (Field("tail", "String"), *PLAN.request)


def test_missing_transforms_are_refused():
    for graph in (None, b""):
        with pytest.raises(InvalidPlan, match="graph is missing"):
            Assembler(PLAN, graph)


def test_a_text_cannot_be_a_column_of_a_matrix():
    texts = but(PLAN, columns=(ModelColumn("maker", StoredFeature("aircraft", "maker")),))
    assert column_types(texts)[StoredFeature("aircraft", "maker")] == "String"
    with pytest.raises(InvalidPlan, match="'maker' is a String"):
        MatrixSignature(texts)


def test_a_list_cannot_be_a_column():
    lists = but(AIRCRAFT, fields=(*AIRCRAFT.fields, Field("legs", "Array(Int64)")))
    with pytest.raises(InvalidPlan, match=r"'legs' is a Array\(Int64\); models take numbers and texts"):
        column_types(but(PLAN, views=(lists,), columns=(ModelColumn("legs", StoredFeature("aircraft", "legs")),)))


def test_two_values_of_one_name_are_refused():
    """`a__b` of `a` would be `b` of `a__a`: training sets and graphs could not tell them apart."""
    one, two = (
        but(CITY, name="a", fields=(Field("a__b", "Int64"),)),
        but(CITY, name="a__a", fields=(Field("b", "Int64"),)),
    )
    with pytest.raises(InvalidPlan, match="'a__a__b'"):
        column_types(but(PLAN, views=(AIRCRAFT, one, two)))
    with pytest.raises(InvalidPlan, match="'aircraft__delay'"):
        column_types(but(PLAN, request=(*PLAN.request, Field("aircraft__delay", "Float32"))))


def test_every_value_has_its_type():
    types = column_types(PLAN)
    assert types[StoredFeature("aircraft", "maker")] == "String"
    assert types[RequestInput("hour")] == "Int32"
    assert types[TransformOutput("clock", "sine")] == "Float32"
    assert len(types) == 8
