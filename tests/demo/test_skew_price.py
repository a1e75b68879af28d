"""Where scratch tables lie, and where the numbers are kept."""

from __future__ import annotations

from pathlib import Path

from skewless.demo.skew_price import SkewPrice, load, moved, save
from skewless.offline.tables.source import TableSource


def test_sources_move_with_their_folder():
    sources = {
        "a": TableSource("a", Path("/data/x/a"), "e", "c", (("mean", "avg"),)),
        "b": TableSource("b", Path("/data/b.parquet"), "e", None),
    }
    assert moved(sources, Path("/data"), Path("/scratch")) == {
        "a": TableSource("a", Path("/scratch/x/a"), "e", "c", (("mean", "avg"),)),
        "b": TableSource("b", Path("/scratch/b.parquet"), "e", None),
    }


def test_the_numbers_are_kept(tmp_path: Path):
    some = {"auc": 0.75, "logloss": 0.4, "constant_logloss": 0.5, "rows": 3.0}
    priced = SkewPrice(some, some, some, some, {"24": some})
    assert load(tmp_path) is None
    save(priced, tmp_path)
    assert load(tmp_path) == priced
