"""The definitions fit the tables, say who answers for them, and apply twice without a change."""

import inspect
import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import ndonnx as ndx
import numpy as np
import onnxruntime as ort
import pandas as pd
import pyarrow as pa
import pytest
from feast import FeatureStore
from feast.repo_operations import get_repo_files
from feast.types import from_feast_to_pyarrow_type

from feature_repo.tables import flights as tables
from skewless.definitions.onnx_tracing import load_functions
from tests.checkout import FEATURE_REPO

SCRATCH = """
project: definitions
provider: local
registry: {{registry_type: sql, path: "sqlite:///{folder}/registry.db"}}
offline_store: {{type: skewless.feast.SkewlessOfflineStore}}
online_store: {{type: sqlite, path: "{folder}/online.db"}}
entity_key_serialization_version: 3
"""
FUNCTIONS = load_functions(FEATURE_REPO)

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning:feast", "ignore::DeprecationWarning")


def feast(folder: Path, verb: str) -> str:
    """Feast's own CLI in a process of its own: it imports the definitions by bare name."""
    command = [sys.executable, "-m", "feast.cli.cli", "-c", str(FEATURE_REPO), "-f", str(folder / "store.yaml"), verb]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, cwd=FEATURE_REPO)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("feast")
    (folder / "store.yaml").write_text(SCRATCH.format(folder=folder))
    feast(folder, "apply")
    return folder


@pytest.fixture(scope="module")
def store(folder) -> FeatureStore:
    return FeatureStore(fs_yaml_file=folder / "store.yaml")


def test_a_second_apply_changes_nothing(folder):
    again = feast(folder, "apply")
    assert "No changes to registry" in again
    assert "No changes to infrastructure" in again


def test_how_the_tables_are_made_is_no_definition():
    files = {path.relative_to(FEATURE_REPO) for path in get_repo_files(FEATURE_REPO)}
    assert Path("entities.py") in files
    assert (FEATURE_REPO / "tables" / "flights.py").is_file()
    assert not [path for path in files if path.parts[0] == "tables"]


def test_each_table_is_matched_exactly_by_its_view(store):
    views = {view.batch_source.path: view for view in store.list_feature_views()}
    assert set(views) == {table.name for table in tables.FEATURE_TABLES}
    for table in tables.FEATURE_TABLES:
        view = views[table.name]
        keys = [column for column in view.entity_columns if column.name != "__dummy_id"]
        assert {key.name for key in keys} == set(table.keys)
        times = [view.batch_source.timestamp_field, view.batch_source.created_timestamp_column]
        declared = {field.name: from_feast_to_pyarrow_type(field.dtype) for field in (*keys, *view.features)}
        declared |= dict.fromkeys(times, pa.timestamp("us", tz="UTC"))
        assert declared == {column.name: column.type for column in table.schema}, table.name
        values = [column for column in table.schema.names if column not in (*table.keys, *times)]
        assert [field.name for field in view.features] == values


def test_everything_has_an_owner_and_a_description(store):
    named = (
        *store.list_entities(),
        *store.list_data_sources(),
        *store.list_feature_views(),
        *store.list_on_demand_feature_views(),
        *store.list_feature_services(),
    )
    # Feast's own stand-in for "no entity" belongs to nobody.
    silent = [o.name for o in named if o.name != "__dummy" and not (o.owner and o.description)]
    assert silent == []
    for view in store.list_feature_views():
        assert all(field.description for field in view.features), view.name


def test_a_ttl_outlasts_the_longest_window(store):
    """Else a value would go stale while events are still in its window."""
    hours = {"h": 1, "d": 24}
    for view in store.list_feature_views():
        windows = re.findall(r"_(\d+)([hd])\b", " ".join(field.name for field in view.features))
        longest = max((int(count) * hours[unit] for count, unit in windows), default=0)
        assert view.ttl >= max(timedelta(hours=longest), timedelta(hours=1)), view.name


def test_the_weather_counts_from_when_it_is_known(store):
    assert store.get_feature_view("origin_weather").tags["known_by"] == "created_timestamp"


def test_feature_names_are_unique_so_that_short_names_work_too(store):
    service = store.get_feature_service("flight_delay_v1")
    names = [field.name for projection in service.feature_view_projections for field in projection.features]
    assert len(names) == len(set(names)) == 35
    assert names[:6] == [
        "departure_hour",
        "departure_weekday",
        "distance_miles",
        "scheduled_block_minutes",
        "dep_delay_mean_1h",
        "dep_delay_mean_3h",
    ]


def test_each_on_demand_view_names_its_transform_and_gives_it_its_inputs(store):
    views = store.list_on_demand_feature_views()
    assert {view.name: view.tags["transform"] for view in views} == {name: name for name in FUNCTIONS}
    for view in views:
        stored = [f for p in view.source_feature_view_projections.values() for f in p.features]
        asked = [f for source in view.source_request_sources.values() for f in source.schema]
        available = {field.name for field in (*stored, *asked)}
        assert set(inspect.signature(FUNCTIONS[view.name]).parameters) <= available


def inputs(function, rows: int) -> dict[str, np.ndarray]:
    """Whole numbers up to seconds since 1970, some of them null."""
    random = np.random.default_rng(3)
    columns = {
        name: random.integers(0, 1_400_000_000, rows).astype(float) for name in inspect.signature(function).parameters
    }
    for column in columns.values():
        column[random.random(rows) < 0.2] = np.nan
    return columns


@pytest.mark.parametrize("name", FUNCTIONS)
def test_numpy_and_the_traced_graph_agree_to_the_bit(name):
    columns = inputs(FUNCTIONS[name], 1_001)
    arguments = {column: ndx.argument(shape=("N",), dtype=ndx.float64) for column in columns}
    graph = ndx.build(arguments, FUNCTIONS[name](**arguments))
    session = ort.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    traced = dict(zip([o.name for o in session.get_outputs()], session.run(None, columns), strict=True))
    direct = FUNCTIONS[name](**columns)
    assert set(traced) == set(direct)
    for output, values in direct.items():
        assert values.dtype == traced[output].dtype == np.float32
        np.testing.assert_array_equal(values.view(np.int32), traced[output].view(np.int32))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_feast_runs_the_same_function(store, name):
    """The registry keeps the body as source text; it still reaches the shared function."""
    view = store.get_on_demand_feature_view(name)
    columns = inputs(FUNCTIONS[name], 50)
    frame = pd.DataFrame({c: pd.array(v, dtype="Int64") for c, v in columns.items()})
    pd.testing.assert_frame_equal(view.feature_transformation.udf(frame), pd.DataFrame(FUNCTIONS[name](**columns)))
    as_objects = frame.astype(object).where(frame.notna(), None)  # as Feast's online read hands it over
    pd.testing.assert_frame_equal(view.feature_transformation.udf(as_objects), pd.DataFrame(FUNCTIONS[name](**columns)))
