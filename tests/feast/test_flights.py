"""The real definitions on three real days: Feast's SDK, the training set and the online store agree."""

from __future__ import annotations

from datetime import UTC, date, datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from feast import FeatureStore

from skewless.contract.state_folder import StateFolders
from skewless.contract.timestamps import to_micros
from skewless.definitions.compiler import compile_service
from skewless.feast import online_store
from skewless.model.training.training_set import frame, read_spine, values_for
from skewless.online.store.embedded_valkey import RunningValkey
from skewless.project import apply
from tests.checkout import FEATURE_REPO
from tests.tables.flights import fill

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning:feast", "ignore::DeprecationWarning")
FIRST, LAST = date(2013, 7, 1), date(2013, 7, 4)
AT = datetime(2013, 7, 3, 20, tzinfo=UTC)
ODFV = ("flight_plan__", "turnaround__")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory, redis_server: RunningValkey) -> StateFolders:
    """Three days of tables, and the repository as it is, applied by Feast's CLI."""
    folders = StateFolders(tmp_path_factory.mktemp("flights") / ".skewless")
    fill(folders.data, FIRST, LAST)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SKEWLESS_STATE", str(folders.root))
        environment.setenv("SKEWLESS_REDIS_URL", redis_server.url)
        apply.run(FEATURE_REPO, at=datetime.now(UTC))
    return folders


@pytest.fixture
def store(folders: StateFolders, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> FeatureStore:
    monkeypatch.setenv("SKEWLESS_STATE", str(folders.root))
    monkeypatch.setenv("SKEWLESS_REDIS_URL", redis_url)
    return FeatureStore(repo_path=str(FEATURE_REPO))


def test_the_sdk_gives_the_training_set(store, folders):
    definitions = compile_service(store, "flight_delay_v1", folders.data)
    spine = read_spine(
        folders.data / "flight_spine", datetime(2013, 7, 2, tzinfo=UTC), datetime(2013, 7, 4, tzinfo=UTC)
    )
    assert spine["tailnum"].null_count
    ours = frame(definitions.plan, spine, values_for(definitions, spine))
    service = store.get_feature_service("flight_delay_v1")
    entity_df = spine.to_pandas()
    job = store.get_historical_features(entity_df, service, full_feature_names=True)
    table, df = job.to_arrow(), job.to_df()

    inputs = {f"aircraft_movements__last_{event}_unix" for event in ("arrival", "departure")}
    assert set(table.column_names) == set(ours.column_names) - inputs, "the SDK returns what the service names"
    assert table.column_names[: spine.num_columns] == spine.column_names
    pd.testing.assert_frame_equal(df[spine.column_names], entity_df)
    filled = 0
    for name in table.column_names[spine.num_columns :]:
        if name.startswith(ODFV):
            # Feast hands on-demand views' NaN back as nulls.
            mine, theirs = (t[name].to_pandas().to_numpy(np.float32) for t in (ours, table))
            np.testing.assert_array_equal(mine.view(np.int32)[~np.isnan(mine)], theirs.view(np.int32)[~np.isnan(mine)])
            np.testing.assert_array_equal(np.isnan(mine), np.isnan(theirs))
        else:
            assert table[name].type == ours[name].type
            assert _bits(table[name]) == _bits(ours[name]), name
            filled += table[name].null_count < len(spine)
    assert filled == len(definitions.plan.columns) - 6


def _bits(column: pa.ChunkedArray) -> list[object]:
    """Values by their bytes, so that NaN equals NaN and -0.0 is not 0.0."""
    plain = column.combine_chunks()
    plain = plain.chunk(0) if isinstance(plain, pa.ChunkedArray) else plain
    there = plain.is_valid().to_pylist()
    data = plain.fill_null(0).to_numpy(zero_copy_only=False)
    return [value.tobytes() if valid else None for value, valid in zip(data, there, strict=True)]


def test_online_values_are_the_offline_values_of_that_instant(store, folders, monkeypatch):
    """Law 2 through Feast alone: `materialize`, then `get_online_features` as if it were 2013."""
    monkeypatch.setattr(online_store, "_now", lambda: to_micros(AT))
    store.materialize(datetime(2013, 1, 1, tzinfo=UTC), AT)
    spine = read_spine(
        folders.data / "flight_spine", datetime(2013, 7, 3, tzinfo=UTC), datetime(2013, 7, 4, tzinfo=UTC)
    )
    entities = spine.drop_columns(["event_timestamp", "late", "label_known_at"]).to_pandas()
    service = store.get_feature_service("flight_delay_v1")
    offline = store.get_historical_features(entities.assign(event_timestamp=AT), service).to_df()
    online = store.get_online_features(service, {name: entities[name].tolist() for name in entities}).to_df()
    for name in online.columns.difference(["origin", "dest", "carrier", "tailnum"]):
        values = (pd.to_numeric(f[name]).to_numpy(float, na_value=np.nan) for f in (offline, online))
        np.testing.assert_array_equal(*values, err_msg=name)
    assert len(online) == len(entities)
    assert online["dep_delay_mean_3h"].notna().sum() == len(entities)
