"""The flights' own feature service, joined by Feast's Spark store with one setting of feature_store.yaml changed."""

from __future__ import annotations

import shutil
from datetime import UTC, date, datetime
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from feast import FeatureStore

from skewless.project import apply
from skewless.project.project import ProjectContext
from skewless.runtime.settings import ProjectSettings
from tests.checkout import FEATURE_REPO
from tests.tables.flights import fill

pytestmark = [
    pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::DeprecationWarning", "ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning", "ignore::ResourceWarning"),
    pytest.mark.usefixtures("spark"),
    pytest.mark.timeout(900),
]
FIRST, LAST = date(2013, 2, 1), date(2013, 2, 8)
OURS = "type: skewless.feast.SkewlessOfflineStore"
SPARK = "type: skewless.feast.SkewlessSparkOfflineStore"
ASKED = 400


def joined(repo: Path, frame: pd.DataFrame) -> pa.Table:
    """What the feature service answers, in the order of the frame's column `row`."""
    store = FeatureStore(repo_path=str(repo))
    service = store.get_feature_service("flight_delay_v1")
    return store.get_historical_features(frame, service).to_arrow().sort_by("row").replace_schema_metadata(None)


def test_the_flights_are_joined_alike(tmp_path, monkeypatch):
    monkeypatch.setenv("SKEWLESS_STATE", str(tmp_path / "state"))
    repo = tmp_path / "feature_repo"
    shutil.copytree(FEATURE_REPO, repo, ignore=shutil.ignore_patterns("__pycache__"))
    apply.run(repo, at=datetime.now(UTC))
    data = ProjectContext(ProjectSettings.read()).folders.data
    fill(data, FIRST, LAST)
    spine = pq.read_table(data / "flight_spine").to_pandas()
    frame = spine.sample(ASKED, random_state=7).reset_index(drop=True)
    frame = frame.drop(columns=[name for name in frame if name in ("late", "day")]).assign(row=range(ASKED))
    ours = joined(repo, frame)
    settings = repo / "feature_store.yaml"
    text = settings.read_text()
    assert OURS in text
    settings.write_text(text.replace(OURS, SPARK))
    theirs = joined(repo, frame)
    # Difference: Feast puts what only its on-demand views read wherever a Python set has it.
    assert sorted(theirs.column_names) == sorted(ours.column_names)
    differing = {name for name in ours.column_names if not theirs[name].equals(ours[name])}
    assert differing == set()
    assert pc.sum(pc.is_valid(ours["last_arr_delay"])).as_py() > ASKED / 4
