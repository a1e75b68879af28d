"""A training set: rows out are rows in, values are the join's, and the folder is replaced whole."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skewless.contract.model.assembler import Assembler
from skewless.contract.storage.part_files import part_name
from skewless.model.training import train, training_set
from skewless.model.training.training_set import TrainingSet, matrix_for, read_spine
from skewless.offline.join.point_in_time import TIMESTAMP, join, request_values
from skewless.offline.join.refresh_schedule import RefreshSchedule
from skewless.offline.join.spine import SpineFiles
from skewless.runtime.errors import EmptyWindow, SpineMismatch, SpineMissing, StepInputMissing
from tests.models import learnable_project
from tests.tables.histories import instants

NOON = datetime(2013, 10, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    learnable_project.write_tables(folder)
    return folder


@pytest.fixture(scope="module")
def compiled(data: Path):
    return learnable_project.definitions(data)


def test_rows_out_are_rows_in(compiled, tmp_path: Path):
    spine = (
        learnable_project.spine().take(pa.array([5, 3, 3, 900])).append_column("note", pa.array(["a", "b", "b", None]))
    )
    made = training_set.run(compiled, spine, tmp_path / "set")
    written = pq.read_table(tmp_path / "set" / "data.parquet")
    assert (made.rows, made.columns) == (4, written.num_columns)
    assert written.select(spine.column_names).equals(spine)
    features = ["delays__mean", "delays__departures", "planes__age", "rush__swell"]
    assert written.column_names == [*spine.column_names, *features]
    assert written.schema.field("delays__mean").type == pa.float32()
    assert written.slice(1, 1).select(features).equals(written.slice(2, 1).select(features))


def test_features_that_older_files_lack_are_told(tmp_path: Path):
    learnable_project.write_tables(tmp_path)
    (file, *_) = sorted((tmp_path / "delays").rglob("*.parquet"))
    older = pq.read_table(file).drop_columns(["departures"])
    pq.write_table(older, tmp_path / "delays" / part_name(1, "a"))
    made = training_set.run(learnable_project.definitions(tmp_path), learnable_project.spine(), tmp_path / "set")
    (warning,) = made.warnings()
    assert "feature view 'delays': column 'departures' is absent from 1 of the 2 files that were read" in warning


def test_an_empty_spine_is_an_empty_set(compiled, tmp_path: Path):
    training_set.run(compiled, learnable_project.spine().slice(0, 0), tmp_path / "set")
    opened = TrainingSet(tmp_path / "set")
    table = pq.read_table(tmp_path / "set" / "data.parquet")
    assert opened.matrix(table).shape == (0, 5)


def test_the_matrix_on_disk_is_that_of_the_join_and_of_one_row_alone(compiled, tmp_path: Path):
    spine = learnable_project.spine().slice(0, 300)
    training_set.run(compiled, spine, tmp_path / "set")
    opened = TrainingSet(tmp_path / "set")
    assert (opened.plan, opened.transforms) == (compiled.plan, compiled.transforms)
    matrix = opened.matrix(pq.read_table(tmp_path / "set" / "data.parquet"))
    assert matrix.tobytes() == matrix_for(compiled, spine).tobytes()
    assembler = Assembler(compiled.plan, compiled.transforms)
    for number in range(0, 300, 37):
        alone = spine.slice(number, 1)
        views = join(compiled.plan, compiled.sources, alone)
        row = assembler.assemble(views, request_values(compiled.plan, alone))
        assert row.tobytes() == matrix[number : number + 1].tobytes()
    assert np.isnan(matrix).any(), "some values were null"


def test_values_as_of_an_earlier_refresh(compiled):
    spine = learnable_project.spine().slice(0, 50)
    read_at = np.array(spine.column(TIMESTAMP).cast(pa.int64()).to_pylist(), np.int64)
    same = matrix_for(compiled, spine, read_at=read_at)
    assert same.tobytes() == matrix_for(compiled, spine).tobytes()
    stale = matrix_for(compiled, spine, read_at=read_at - 4 * learnable_project.HOUR_US)
    assert np.isnan(stale[:, 0]).all(), "delays live for three hours"


def test_a_set_is_replaced_whole(compiled, tmp_path: Path):
    folder = tmp_path / "set"
    training_set.run(compiled, learnable_project.spine().slice(0, 10), folder)
    (folder / train.MODEL).write_text("of the old set")
    training_set.run(compiled, learnable_project.spine().slice(0, 5), folder)
    files = ["_absences.json", "_plan.json", "_transforms.onnx", "data.parquet"]
    assert sorted(path.name for path in folder.iterdir()) == files
    assert pq.read_metadata(folder / "data.parquet").num_rows == 5


def test_a_spine_that_does_not_fit_leaves_the_old_set(compiled, tmp_path: Path):
    folder = tmp_path / "set"
    training_set.run(compiled, learnable_project.spine().slice(0, 10), folder)
    with pytest.raises(SpineMismatch, match="'hour' is absent"):
        training_set.run(compiled, learnable_project.spine().drop_columns("hour"), folder)
    assert pq.read_metadata(folder / "data.parquet").num_rows == 10
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize("name", ["delays__mean", "rush__swell"])
def test_a_column_of_the_spine_is_never_taken_for_a_feature(compiled, tmp_path: Path, name: str):
    spine = learnable_project.spine().slice(0, 3).append_column(name, pa.array([9.0, 9.0, 9.0], pa.float32()))
    with pytest.raises(SpineMismatch, match=f"'{name}' has the name of a feature"):
        training_set.run(compiled, spine, tmp_path / "set")


def test_a_folder_without_a_set_is_refused(tmp_path: Path):
    with pytest.raises(StepInputMissing, match="run `skewless training-set` first"):
        TrainingSet(tmp_path)


def put(file: Path, times: pa.Array) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({TIMESTAMP: times, "id": range(len(times))}), file)


@pytest.mark.parametrize(
    "kind", [pa.timestamp("us", tz="UTC"), pa.timestamp("us"), pa.timestamp("ns"), pa.timestamp("s")]
)
def test_a_spine_is_read_by_time_and_in_its_order(tmp_path: Path, kind: pa.DataType):
    put(tmp_path / "b.parquet", pa.array([NOON + HOUR, NOON], pa.timestamp("us", tz="UTC")).cast(kind))
    put(tmp_path / "a.parquet", pa.array([NOON + 2 * HOUR, NOON], pa.timestamp("us", tz="UTC")).cast(kind))
    put(tmp_path / ".unfinished.parquet", pa.array([NOON]))
    found = read_spine(tmp_path, NOON, NOON + 2 * HOUR)
    assert found.column("id").to_pylist() == [1, 1, 0]
    assert len(read_spine(tmp_path / "a.parquet", NOON, NOON + 3 * HOUR)) == 2
    assert len(read_spine(tmp_path, NOON + 3 * HOUR, NOON + 4 * HOUR)) == 0


@pytest.mark.parametrize("kind", [pa.timestamp("us"), pa.timestamp("ns", tz="UTC")])
def test_a_set_is_read_between_two_times(compiled, tmp_path: Path, kind: pa.DataType):
    spine = learnable_project.spine().slice(0, 20)
    times = spine.column(TIMESTAMP).to_pylist()
    retyped = spine.set_column(0, TIMESTAMP, spine.column(TIMESTAMP).cast(kind))
    training_set.run(compiled, retyped, tmp_path / "set")
    found = TrainingSet(tmp_path / "set").between(times[3], times[9])
    assert len(found) == sum(times[3] <= one < times[9] for one in times)


def test_a_spine_that_cannot_be_read_is_told_why(tmp_path: Path):
    with pytest.raises(SpineMissing, match="there is no spine at"):
        read_spine(tmp_path, NOON, NOON)
    pq.write_table(pa.table({"at": instants([0])}), tmp_path / "a.parquet")
    with pytest.raises(SpineMismatch, match=r"'event_timestamp' is absent; the spine has \['at'\]"):
        read_spine(tmp_path, NOON, NOON)
    pq.write_table(pa.table({TIMESTAMP: [date(2013, 10, 1)]}), tmp_path / "a.parquet")
    with pytest.raises(SpineMismatch, match=r"is date32.*must be a timestamp"):
        read_spine(tmp_path, NOON, NOON)


def test_the_folder_is_a_parquet_dataset_for_others(compiled, tmp_path: Path):
    import pandas as pd

    folder = tmp_path / "set"
    training_set.run(compiled, learnable_project.spine().slice(0, 10), folder, as_served=RefreshSchedule(HOUR))
    pd.testing.assert_frame_equal(pd.read_parquet(folder), pd.read_parquet(folder / "data.parquet"))
    assert pq.read_table(folder).num_rows == 10
    assert sorted(path.name for path in folder.iterdir() if path.name[0] != "_") == ["data.parquet"]


def test_a_set_of_an_older_version_opens(compiled, tmp_path: Path):
    folder = tmp_path / "set"
    training_set.run(compiled, learnable_project.spine().slice(0, 10), folder)
    opened = TrainingSet(folder)
    counts = opened.absent_rows(datetime(2013, 1, 1, tzinfo=UTC), datetime(2014, 1, 1, tzinfo=UTC))
    for file in list(folder.glob("_*")):
        file.rename(folder / file.name.removeprefix("_"))
    older = TrainingSet(folder)
    assert (older.plan, older.transforms) == (opened.plan, opened.transforms)
    assert older.absent_rows(datetime(2013, 1, 1, tzinfo=UTC), datetime(2014, 1, 1, tzinfo=UTC)) == counts != {}


def test_a_window_without_rows_leaves_the_old_set(compiled, tmp_path: Path):
    spine, folder = learnable_project.spine(), tmp_path / "set"
    pq.write_table(spine, tmp_path / "spine.parquet")
    training_set.run(compiled, spine.slice(0, 10), folder)
    times = spine.column(TIMESTAMP).to_pylist()
    empty = SpineFiles(tmp_path / "spine.parquet", NOON, NOON + HOUR)
    with pytest.raises(EmptyWindow) as refused:
        training_set.run(compiled, empty, folder)
    assert f"from {times[0].isoformat()} to {times[-1].isoformat()}" in str(refused.value)
    assert pq.read_metadata(folder / "data.parquet").num_rows == 10
