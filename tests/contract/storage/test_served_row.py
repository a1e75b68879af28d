from __future__ import annotations

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given
from hypothesis import strategies as st

from skewless.contract.admission import MISSING
from skewless.contract.columns import EntityRows, column_values
from skewless.contract.model.assembler import admit
from skewless.contract.plan import Field, JoinKey, ModelColumn, Plan, PlanView, StoredFeature
from skewless.contract.storage.entity_key import EntityKeyEncoder
from skewless.contract.storage.served_row import ServedRequest, served_schema, to_arrow
from skewless.contract.value_types import value_type
from tests.oracles import entity_key
from tests.strategies import FLOAT32_BITS, INSTANTS, STORED, key_values, plans, values
from tests.tables.arrays import as_values, values_bits
from tests.tables.served_rows import served_batch


def through_parquet(batch: pa.RecordBatch) -> pa.Table:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_batches([batch]), sink)
    return pq.read_table(sink)


@given(st.data(), st.sampled_from(STORED))
def test_values_to_arrow_and_back_keep_every_bit(data, dtype):
    column = data.draw(st.lists(values(dtype), max_size=6))
    kept = as_values(dtype, column)
    back = to_arrow(value_type(dtype), kept)
    assert back.type == value_type(dtype).arrow
    assert values_bits(dtype, column_values(value_type(dtype), back)) == values_bits(dtype, kept)


@st.composite
def answers(draw) -> tuple[Plan, ServedRequest]:
    """A request of a few rows to a random plan, and what was used to answer it."""
    plan = draw(plans().filter(lambda plan: plan.columns))
    rows, served_at = draw(st.integers(0, 4)), draw(INSTANTS)
    times = st.lists(st.one_of(INSTANTS, st.just(MISSING)), min_size=rows, max_size=rows)
    views = {}
    for view in plan.views:
        event, created = (np.array(draw(times), np.int64) for _ in range(2))
        views[view.name] = admit(
            plan, view.name, EntityRows(event, created, np.zeros(rows, bool), ()), np.int64(served_at)
        )
    keys = {
        k.name: [draw(st.sampled_from([None, key_values(k.dtype, n)])) for n in range(rows)] for k in plan.join_keys
    }
    request = {
        f.name: as_values(f.dtype, draw(st.lists(values(f.dtype), min_size=rows, max_size=rows))) for f in plan.request
    }
    bits = st.one_of(st.sampled_from(FLOAT32_BITS), st.integers(0, 2**32 - 1))
    cells = rows * len(plan.columns)
    matrix = np.array(draw(st.lists(bits, min_size=cells, max_size=cells)), "<u4").view("<f4")
    scores = np.array(draw(st.lists(bits, min_size=rows, max_size=rows)), "<u4").view("<f4")
    shaped = matrix.reshape(rows, len(plan.columns))
    return plan, ServedRequest("r-1", served_at, keys, request, views, shaped, scores)


@given(answers())
def test_what_was_used_survives_parquet_bit_for_bit(answer):
    plan, served = answer
    rows = len(served.scores)
    table = through_parquet(served_batch(plan, "lateness", "1.2.3", served))
    assert table.schema.equals(served_schema(plan))
    assert table.num_rows == rows
    assert table["request_id"].to_pylist() == ["r-1"] * rows
    assert table["row"].to_pylist() == list(range(rows))
    assert table["served_at"].cast(pa.int64()).to_pylist() == [served.served_at] * rows
    assert set(table["model"].to_pylist()) | set(table["version"].to_pylist()) <= {"lateness", "1.2.3"}
    for name, sent in served.entities.items():
        assert table[f"entity:{name}"].to_pylist() == sent
    for field in plan.request:
        column = table[f"request:{field.name}"].combine_chunks()
        kept = values_bits(field.dtype, column_values(value_type(field.dtype), column))
        assert kept == values_bits(field.dtype, served.request[field.name])
    for view in plan.views:
        admitted = served.views[view.name]
        assert table[f"{view.name}:status"].to_pylist() == admitted.status.tolist()
        for name, instants in (("event", admitted.rows.event), ("created", admitted.rows.created)):
            stored = table[f"{view.name}:{name}_timestamp"].cast(pa.int64()).to_pylist()
            assert stored == [None if at == MISSING else at for at in instants.tolist()]
    flat = table["model_input"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    assert flat.tobytes() == served.matrix.tobytes()
    assert table["score"].to_numpy().tobytes() == served.scores.tobytes()


def test_a_timestamp_as_a_join_key_is_in_microseconds_like_every_time():
    at = 1_356_998_400_000_000
    view = PlanView("v", "v", (JoinKey("t", "t", "UnixTimestamp"),), (Field("f", "Int64"),), 0, "event_timestamp")
    plan = Plan("s", "p", (view,), (), (), (ModelColumn("c", StoredFeature("v", "f")),))
    nothing = EntityRows(*[np.full(1, MISSING, np.int64)] * 2, np.zeros(1, bool), ())
    views = {"v": admit(plan, "v", nothing, np.int64(at))}
    served = ServedRequest("r", at, {"t": [at]}, {}, views, np.zeros((1, 1), np.float32), np.zeros(1, np.float32))
    kept = through_parquet(served_batch(plan, "m", "1", served))["entity:t"].cast(pa.int64()).to_pylist()
    assert kept == [at]
    assert EntityKeyEncoder("p", ["t"], ["UnixTimestamp"]).encode(kept) == entity_key("p", {"t": ("UnixTimestamp", at)})
