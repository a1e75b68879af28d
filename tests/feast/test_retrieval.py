"""Historical answers through Feast's SDK are the oracle's, column by column, and their columns have one order."""

from __future__ import annotations

import random
from datetime import timedelta
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from feast import FeatureStore

from skewless.contract.plan import Field, Plan, PlanView, StoredFeature, TransformOutput
from skewless.contract.timestamps import to_micros
from skewless.definitions.compiler import view_of
from skewless.feast.retrieval import output_names
from tests.oracles import Row, Spine, Value, join
from tests.strategies import arrow_column
from tests.tables.scratch_project import HOUR, NOW, US, ScratchProject

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning:feast", "ignore::DeprecationWarning")
SECOND = 1_000_000
TAILS = ["N1", "N2", "N3", "Ñ4"]
BIG = 2**53 + 1


def history(view: PlanView, lot: random.Random, *, created: bool) -> list[Row]:
    """A few entities at a few instants, so that ties, corrections, late and future rows are common."""
    values = {
        "Float32": lambda: np.float32(lot.choice([0.1, -0.0, 3.5])),
        "Float64": lambda: np.float64(lot.choice([0.1, 1e300])),
        "Int64": lambda: lot.choice([BIG, -BIG, 0]),
        "Int32": lambda: lot.choice([-(2**31), 7]),
        "String": lambda: lot.choice(["", "Zürich"]),
        "Bool": lambda: lot.random() < 0.5,
        "Bytes": lambda: b"\xff\x00",
        "UnixTimestamp": lambda: to_micros(NOW) + lot.randrange(9),
    }
    rows = []
    for _ in range(150):
        key = tuple(lot.choice(TAILS) if k.dtype == "String" else lot.choice([BIG, 3]) for k in view.join_keys)
        event = to_micros(NOW) + lot.randrange(-12, 3) * 6 * 3600 * SECOND
        known = event + lot.choice([0, 1, 3600 * SECOND, 20 * 3600 * SECOND]) if created else event
        cells = tuple(None if lot.random() < 0.2 else values[f.dtype]() for f in view.fields)
        gone = view.deleted_field is not None and lot.random() < 0.1
        rows.append(Row(key, event, known, gone, cells, view.fields))
    return rows


def columns_of(view: PlanView, rows: list[Row]) -> dict[str, pa.Array]:
    found = {
        key.key: arrow_column(key.dtype, [row.key[place] for row in rows]) for place, key in enumerate(view.join_keys)
    }
    for place, field in enumerate(view.fields):
        name = "min" if field.name == "minutes" else field.name
        found[name] = arrow_column(field.dtype, [row.values[place] for row in rows])
    found["event_timestamp"] = pa.array([row.event for row in rows], pa.int64()).cast(US)
    found["created_timestamp"] = pa.array([row.created for row in rows], pa.int64()).cast(US)
    return found | ({"gone": pa.array([row.deleted for row in rows])} if view.deleted_field else {})


def plan_of(store: FeatureStore, service: str) -> Plan:
    views = [
        view_of(store.config, store.get_feature_view(projection.name), projection)
        for projection in store.get_feature_service(service).feature_view_projections
        if projection.name != "rush"
    ]
    return Plan(service, store.project, tuple(views), (), (), ())


def write_histories(project: ScratchProject, plan: Plan) -> dict[str, list[Row]]:
    lot = random.Random(7)
    found: dict[str, list[Row]] = {}
    for view in plan.views:
        if view.stored_as not in found:
            rows = found[view.stored_as] = history(view, lot, created=view.stored_as != "legs")
            for part, some in enumerate((rows[:80], rows[80:])):
                project.write(view.stored_as, f"part-{part}", **columns_of(view, some))
    return found


def spine(size: int = 120) -> pd.DataFrame:
    lot = random.Random(11)
    rows = [
        {
            "label": lot.random(),
            "tailnum": lot.choice([*TAILS, "unknown", None]),
            "sister_tailnum": lot.choice(TAILS),
            "carrier": lot.choice(TAILS),
            "number": lot.choice([BIG, 3, 4]),
            "event_timestamp": NOW + lot.randrange(-12, 4) * 6 * HOUR + timedelta(microseconds=lot.choice([-1, 0, 1])),
            "hour": lot.randrange(24),
            "remark": lot.choice(["a", None]),
        }
        for _ in range(size)
    ]
    frame = pd.DataFrame(rows + rows[:5], index=range(1000, 1000 + size + 5))
    return frame.astype({"remark": "category"})


def plain(column: pa.ChunkedArray) -> list[Value]:
    return [int(v.value) if v.is_valid and pa.types.is_timestamp(v.type) else v.as_py() for v in column]


@pytest.mark.parametrize("service", ["everything", "sisters"])
def test_history_equals_the_oracle(project, service):
    store = project.store()
    plan = plan_of(store, service)
    histories = write_histories(project, plan)
    frame = spine()
    asked = [
        Spine({k.name: row[k.name] for k in plan.join_keys}, to_micros(row["event_timestamp"]))
        for row in frame.to_dict("records")
    ]
    expected = join(asked, histories, plan)
    job = store.get_historical_features(frame, store.get_feature_service(service), full_feature_names=True)
    table, df = job.to_arrow(), job.to_df()

    assert table.column_names[: len(frame.columns)] == list(frame.columns)
    pd.testing.assert_frame_equal(df[frame.columns], frame.reset_index(drop=True))
    statuses = set()
    for view in plan.views:
        for place, field in enumerate(view.fields):
            name = f"{view.name}__{field.name}"
            if name not in table.column_names:
                continue
            values = [row[view.name].values[place] for row in expected]
            if field.dtype == "UnixTimestamp":  # Feast's messages hold whole seconds
                values = [value if value is None else value - value % SECOND for value in values]
            wanted = arrow_column(field.dtype, values)
            assert plain(table.column(name)) == plain(pa.chunked_array([wanted])), name
            assert table.column(name).type == wanted.type
        statuses |= {row[view.name].status for row in expected}
    assert statuses == {"PRESENT", "STALE", "NOT_FOUND"}
    if service == "everything":
        swell = (table["flown__hours"].to_pandas() * frame["hour"].reset_index(drop=True)).astype("float32")
        np.testing.assert_array_equal(df["rush__swell"], swell)


def test_columns_stand_as_they_were_referenced():
    """Whatever order Feast's hash seed gives to the inputs of an on-demand view."""
    view = PlanView("v", "v", (), tuple(Field(name, "Float32") for name in "abcd"), 0, "event_timestamp")

    projection = SimpleNamespace(features=view.fields, name_to_use=lambda: "v")
    on_demand = SimpleNamespace(source_feature_view_projections={"v": projection})
    for tail in (["v:b", "v:a", "v:d"], ["v:d", "v:a", "v:b"]):
        names = output_names(["v:c", "o:x", *tail], [view], [on_demand], full=False)
        assert list(names.values()) == ["c", "x", "a", "b", "d"]
    assert list(names)[1] == TransformOutput("o", "x")
    assert list(output_names(["v:c", "v:a"], [view], [], full=True)) == [
        StoredFeature("v", "c"),
        StoredFeature("v", "a"),
    ]
