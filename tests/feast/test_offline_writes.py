"""Rows that Feast's SDK writes to the offline store: pushed, written, logged. They are parts; no file is rewritten."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import FeatureService
from feast.data_source import PushMode
from feast.feature_logging import FeatureServiceLoggingSource, LoggingConfig, LoggingDestination
from feast.infra.offline_stores.file_source import FileLoggingDestination

from skewless.feast.errors import FeastUnsupported
from skewless.runtime.errors import SourceMismatch
from tests.tables.scratch_project import DAY, HOUR, NOW, ScratchProject, times

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning:feast", "ignore::DeprecationWarning")
FRAME = pd.DataFrame({"tailnum": ["N1", "N2"], "event_timestamp": NOW})


@pytest.fixture(params=["told/part-0.parquet", "told/day=2024-01-01/part-0.parquet", "told"])
def table(project: ScratchProject, request) -> pa.Table:
    """The table of `told` as a folder, in days, and as one file."""
    file = project.data / request.param
    file.parent.mkdir(parents=True)
    held = pa.table(
        {
            "tailnum": ["N1"],
            "fuel": pa.array([1], pa.float32()),
            "gate": [1],
            "event_timestamp": times(-2 * HOUR),
            "created_timestamp": times(-2 * HOUR),
        }
    )
    pq.write_table(held, file)
    return held


def rows(**columns) -> pd.DataFrame:
    """As pandas has them: float64, nanoseconds, an index."""
    whole = {
        "gate": [7, 8],
        "fuel": [0.1, 2.5],
        "tailnum": ["N1", "N2"],
        "event_timestamp": pd.Series([NOW - HOUR] * 2).astype("datetime64[ns, UTC]").array,
        "created_timestamp": pd.Series([NOW - HOUR] * 2).astype("datetime64[ns, UTC]").array,
    }
    return pd.DataFrame(whole | columns, index=[5, 9])


def joined(project: ScratchProject) -> list[tuple]:
    found = project.store().get_historical_features(FRAME, ["told:fuel", "told:gate"]).to_arrow()
    return list(zip(found["fuel"].to_pylist(), found["gate"].to_pylist(), strict=True))


def test_written_rows_are_joined_and_no_file_is_touched(project, table):
    before = {file: file.read_bytes() for file in project.data.rglob("*") if file.is_file()}
    assert joined(project) == [(1, 1), (None, None)]
    project.store().write_to_offline_store("told", rows())
    assert joined(project) == [(np.float32(0.1), 7), (2.5, 8)]
    assert {file: file.read_bytes() for file in before} == before
    project.store().write_to_offline_store("told", rows())
    project.store().write_to_offline_store("told", rows(fuel=[9, 9], created_timestamp=NOW))
    assert joined(project) == [(9, 7), (9, 8)]
    assert len([file for file in project.data.rglob("*") if file.is_file()]) == 3


def test_pushed_rows_are_in_both_stores(project, table):
    store = project.store()
    store.push("tell", rows(), to=PushMode.OFFLINE)
    read = {"features": ["told:fuel", "told:gate"], "entity_rows": [{"tailnum": "N1"}, {"tailnum": "N2"}]}
    assert store.get_online_features(**read).to_dict()["fuel"] == [None, None]
    assert joined(project) == [(np.float32(0.1), 7), (2.5, 8)]
    store.push("tell", rows(fuel=[0.3, None], created_timestamp=NOW), to=PushMode.ONLINE_AND_OFFLINE)
    online = store.get_online_features(**read).to_dict()
    assert (
        joined(project) == list(zip(online["fuel"], online["gate"], strict=True)) == [(np.float32(0.3), 7), (None, 8)]
    )


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"tailnum": [1, 2]}, SourceMismatch, "'tailnum' of its source is string in the table and int64 in the rows"),
        ({"gate": [0.5, 1]}, SourceMismatch, "'gate'"),
        ({"event_timestamp": ["yesterday", "today"]}, SourceMismatch, "which is not an ISO 8601 time"),
        ({"event_timestamp": [(NOW - DAY).date()] * 2}, SourceMismatch, "is date32"),
        ({"event_timestamp": [NOW, pd.NaT]}, SourceMismatch, "is null, and each row needs a time, in row 2"),
        ({"wrong": 1}, ValueError, r"extra_unexpected_columns: \['wrong'\]"),
    ],
)
def test_rows_that_do_not_fit_leave_nothing(project, table, change, error, said):
    before = sorted(project.data.rglob("*"))
    with pytest.raises(error, match=said):
        project.store().write_to_offline_store("told", rows(**change))
    assert sorted(project.data.rglob("*")) == before
    with pytest.raises(ValueError, match=r"missing_expected_columns: \['fuel'\]"):
        project.store().write_to_offline_store("told", rows().drop(columns="fuel"))


def test_mapped_columns_keep_the_tables_names(project):
    """Feast's file store refuses every write to a source with a field mapping."""
    first = {"carrier": ["AA"], "number": [1], "min": [1.5], "stops": pa.array([1], pa.int32()), "digest": [b"1"]}
    project.write("legs", **first, last=times(-DAY), event_timestamp=times(-DAY))
    frame = pd.DataFrame(
        {
            "carrier": ["AA"],
            "number": [1],
            "min": [2.5],
            "stops": [2],
            "digest": [b"2"],
            "last": NOW,
            "event_timestamp": NOW,
        }
    )
    project.store().write_to_offline_store("legs", frame)
    entities = pd.DataFrame({"carrier": ["AA"] * 2, "number": [1] * 2, "event_timestamp": [NOW - HOUR, NOW]})
    found = project.store().get_historical_features(entities, ["legs:minutes", "legs:digest"]).to_arrow()
    assert found["minutes"].to_pylist() == [1.5, 2.5]
    assert found["digest"].to_pylist() == [b"1", b"2"]


class Elsewhere(LoggingDestination):
    """A destination that is no folder."""


def logs(project: ScratchProject, service: FeatureService, first: int, count: int) -> pa.Table:
    schema = FeatureServiceLoggingSource(service, "scratch").get_schema(project.store().registry)
    columns = {
        name: [None] * count if kind != pa.string() else [f"N{n}" for n in range(count)]
        for name, kind in zip(schema.names, schema.types, strict=True)
    }
    columns |= {
        "flown__cycles": list(range(first, first + count)),
        "__log_timestamp": [NOW + timedelta(seconds=first + n) for n in range(count)],
        "__log_date": [(NOW + n * DAY).date() for n in range(count)],
        "__request_id": [f"request {first + n}" for n in range(count)],
    }
    return pa.table(
        [pa.array(columns[name], kind) for name, kind in zip(schema.names, schema.types, strict=True)], schema
    )


@pytest.mark.parametrize("partition_by", [None, ["__log_date"]])
@pytest.mark.parametrize("as_path", [False, True])
def test_what_feasts_server_logged_comes_back(project, tmp_path, partition_by, as_path):
    store = project.store()
    service = store.get_feature_service("stored")
    service.logging_config = LoggingConfig(FileLoggingDestination(path="logged", partition_by=partition_by))
    whole = [logs(project, service, 0, 3), logs(project, service, 3, 2)]
    for number, some in enumerate([*whole, whole[0]]):
        handed = tmp_path / f"handed-{number}"
        handed.mkdir()
        pq.write_table(some, handed / "0.parquet")
        store.write_logged_features(handed if as_path else some, service)
    found = store._get_provider().retrieve_feature_service_logs(service, NOW, NOW + DAY, store.config, store.registry)
    expected = pa.concat_tables(whole).sort_by("__request_id")
    read = found.to_arrow().sort_by("__request_id").select(expected.column_names)
    assert read.equals(expected.cast(read.schema))  # Parquet has no seconds: they are milliseconds there
    folders = {file.parent.name for file in (project.data / "logged").rglob("*.parquet")}
    assert folders == ({f"__log_date={(NOW + n * DAY).date()}" for n in range(3)} if partition_by else {"logged"})


def test_logs_for_elsewhere_are_refused(project):
    store = project.store()
    service = store.get_feature_service("stored")
    service.logging_config = LoggingConfig(Elsewhere())
    with pytest.raises(FeastUnsupported, match="FileLoggingDestination"):
        store.write_logged_features(logs(project, service, 0, 1), service)
