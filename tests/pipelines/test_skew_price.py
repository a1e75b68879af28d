"""When a store that is refreshed seldom was last filled, and where scratch tables lie."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipelines.history import TIMESTAMP
from pipelines.offline import Source
from pipelines.skew_price import Priced, last_refresh, load, moved, save
from serving.contract.instants import from_micros, to_micros
from tests.pipelines.worlds import instants

MIDNIGHT = timedelta(hours=4)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("hours", "asked", "filled"),
    [
        (24, "2013-10-02T04:00", "2013-10-02T04:00"),
        (24, "2013-10-02T03:59:59.999999", "2013-10-01T04:00"),
        (24, "2013-10-02T23:00", "2013-10-02T04:00"),
        (24, "1969-12-31T03:00", "1969-12-30T04:00"),
        (6, "2013-10-02T03:59", "2013-10-01T22:00"),
        (6, "2013-10-02T10:00", "2013-10-02T10:00"),
        (1, "2013-10-02T10:59:59.999999", "2013-10-02T10:00"),
    ],
)
def test_the_last_refresh_counts_from_midnight_where_it_is_predicted(hours: int, asked: str, filled: str):
    import pyarrow as pa

    spine = pa.table({TIMESTAMP: instants([to_micros(at(asked))])})
    (micros,) = last_refresh(spine, hours, MIDNIGHT).tolist()
    assert from_micros(micros) == at(filled)


def test_sources_move_with_their_folder():
    sources = {
        "a": Source("a", Path("/data/x/a"), "e", "c", (("mean", "avg"),)),
        "b": Source("b", Path("/data/b.parquet"), "e", None),
    }
    assert moved(sources, Path("/data"), Path("/scratch")) == {
        "a": Source("a", Path("/scratch/x/a"), "e", "c", (("mean", "avg"),)),
        "b": Source("b", Path("/scratch/b.parquet"), "e", None),
    }


def test_the_numbers_are_kept(tmp_path: Path):
    some = {"auc": 0.75, "logloss": 0.4, "constant_logloss": 0.5, "rows": 3.0}
    priced = Priced(some, some, some, some, {"24": some})
    assert load(tmp_path) is None
    save(priced, tmp_path)
    assert load(tmp_path) == priced
