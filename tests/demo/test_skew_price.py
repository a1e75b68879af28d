"""Where scratch tables lie, and where the numbers are kept."""

from __future__ import annotations

from pathlib import Path

from skewless.demo.skew_price import Priced, load, moved, save
from skewless.offline.tables.view_rows import Source


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
