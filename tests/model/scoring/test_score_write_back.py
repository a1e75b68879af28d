"""Which column of the scored rows each feature of a view takes."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skewless.contract.plan import Field, JoinKey, PlanView
from skewless.model.scoring import score_write_back
from skewless.model.scoring.batch_score import ScoringInputs, ScoringRun
from skewless.offline.join.point_in_time import TIMESTAMP
from skewless.offline.tables.source import TableSource
from skewless.runtime.errors import SourceMismatch

NOW = datetime(2026, 11, 1, tzinfo=UTC)
SHARES = np.array([[0.25, 0.75], [0.5, 0.5]], np.float32)


def view(**fields: str) -> PlanView:
    declared = tuple(Field(name, dtype) for name, dtype in fields.items())
    return PlanView("risk", "risk", (JoinKey("tailnum", "tailnum", "String"),), declared, 0, "event_timestamp")


def write(folder: Path, told: PlanView, columns: dict[str, pa.Array], take: dict[str, str]) -> pa.Table:
    """The view's table after two scored rows were written back."""
    times = pa.array([NOW, NOW], pa.timestamp("us", tz="UTC"))
    folder.mkdir(exist_ok=True)
    pq.write_table(pa.table({TIMESTAMP: times, "tailnum": ["N1", "N2"], **columns}), folder / "scores-00000.parquet")
    asked = ScoringInputs("m", "1.0.0", "", "", "", "", {})
    scored = ScoringRun(asked, NOW.isoformat(), 2, ("scores-00000.parquet",))
    score_write_back.run(scored, folder, told, TableSource("risk", folder / "risk", TIMESTAMP, None), take=take)
    return pq.read_table(folder / "risk")


def lists(values: np.ndarray) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), values.shape[1])


def test_named_outputs_and_values_of_them_are_taken(tmp_path: Path):
    columns = {"score:label": pa.array(["calm", "late"]), "score:shares": lists(SHARES)}
    told = view(kind="String", late="Float32", all="Array(Float32)")
    table = write(tmp_path, told, columns, {"kind": "label", "late": "shares[1]", "all": "shares"})
    assert table.column("kind").to_pylist() == ["calm", "late"]
    assert table.column("late").to_numpy().tobytes() == SHARES[:, 1].tobytes()
    assert table.column("all").to_pylist() == SHARES.tolist()


def test_a_value_of_the_only_output_is_taken(tmp_path: Path):
    table = write(tmp_path, view(late="Float32"), {"score": lists(SHARES)}, {"late": "score[1]"})
    assert table.column("late").to_pylist() == SHARES[:, 1].tolist()


@pytest.mark.parametrize(
    ("take", "told"),
    [
        ({"late": "nothing"}, r"'nothing' of its source is no output of the model; those are \['score'\]"),
        ({"late": "score[2]"}, r"'score\[2\]' of its source is no value of output 'score', which has 2 a row"),
        ({"late": "score[-1]"}, "is no value of output"),
        ({"early": "score[1]"}, r"'early' of its source is no feature of the view, which has \['late'\]"),
        ({"late": "score"}, "'late' of its source is float in the table and fixed_size_list"),
        ({}, "'late' of its source is float in the table and fixed_size_list"),
    ],
)
def test_what_cannot_be_taken_is_refused_before_anything_is_written(tmp_path: Path, take: dict[str, str], told: str):
    with pytest.raises(SourceMismatch, match=told):
        write(tmp_path, view(late="Float32"), {"score": lists(SHARES)}, take)
    assert not (tmp_path / "risk").exists()
