from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from skewless.scaffold.event_files import event_files
from skewless.scaffold.event_source import SAMPLED, EventsUnreadable

ORDERS = "SELECT range % 7 AS customer_id, TIMESTAMP '2025-01-01' + to_hours(range) AS at FROM range(100)"


def written(file: Path, sql: str = ORDERS) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    duckdb.sql(f"COPY ({sql}) TO '{file}' (FORMAT {'json' if 'jsonl' in file.name else file.name.split('.')[1]})")
    return file


@pytest.mark.parametrize(
    "name", ["a.csv", "a.csv.gz", "a.csv.zst", "a.jsonl", "a.jsonl.gz", "a.jsonl.zst", "a.parquet"]
)
def test_every_format_is_read_and_written_as_a_relative_path(tmp_path: Path, name: str):
    files = event_files(str(written(tmp_path / name)))
    with files.opened() as source:
        assert source.kinds == [("customer_id", "BIGINT"), ("at", "TIMESTAMP")]
        assert source.all(["count(*)"]) == source.sampled(["count(*)"]) == (100,)
    assert f"'../{name}'" in files.written(tmp_path / "mine")
    assert str(tmp_path) in files.written(Path("/elsewhere/mine"))


def test_a_folder_and_a_glob_name_all_of_their_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("2024/a.csv", "2025/b.csv.gz"):
        written(tmp_path / "orders" / name)
    (tmp_path / "orders" / "notes.txt").touch()
    monkeypatch.chdir(tmp_path)
    for place, rows in (("orders", 200), ("orders/*/*.csv", 100), (f"{tmp_path}/orders/**/*.csv*", 200)):
        files = event_files(place)
        assert files.stem == "orders"
        with files.opened() as source:
            assert source.all(["count(*)"]) == (rows,)


@pytest.mark.parametrize("name", [".ipynb_checkpoints/a-checkpoint.csv", "._a.csv", "_delta_log/a.csv"])
def test_a_hidden_file_of_a_folder_is_not_counted_in_silence(tmp_path: Path, name: str):
    written(tmp_path / "a.csv")
    (tmp_path / name).parent.mkdir(exist_ok=True)
    written(tmp_path / "copied.csv").rename(tmp_path / name)
    with pytest.raises(EventsUnreadable, match=f"{name} is hidden or a program's own.*by a glob"):
        event_files(str(tmp_path))
    with event_files(f"{tmp_path}/a*.csv").opened() as source:
        assert source.all(["count(*)"]) == (100,)


def test_more_rows_than_are_sampled_are_counted_all(tmp_path: Path):
    rows = SAMPLED + 5
    file = written(tmp_path / "a.parquet", ORDERS.replace("range(100)", f"range({rows})"))
    with event_files(str(file)).opened() as source:
        assert source.sampled(["count(*)"]) == (SAMPLED,)
        assert source.all(["count(*)"]) == (rows,)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("gone.csv", None, "no such file"),
        ("a.txt", "x", "may end in .csv"),
        ("a.parquet.gz", "x", "may end in .csv"),
        ("a.csv", "customer_id,at\n", "no rows; its columns are customer_id, at"),
        ("a.csv", "", "no rows"),
        ("a.jsonl", "", "no rows"),
        ("a.parquet", "nonsense", "cannot be read"),
        ("a.csv.gz", "nonsense", "cannot be read"),
        ("a.jsonl", '{"a": ', "cannot be read"),
        ("*.csv", None, "names no file"),
    ],
)
def test_what_cannot_be_read_is_refused(tmp_path: Path, name: str, content: str | None, says: str):
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(EventsUnreadable, match=says), event_files(str(tmp_path / name)).opened():
        pass


def test_a_variable_that_is_not_set_is_told_of():
    with pytest.raises(
        EventsUnreadable, match=r"SHOP_URL_X cannot be read: .*, nor is an environment variable of that name"
    ):
        event_files("SHOP_URL_X")


def test_two_formats_in_one_folder_are_refused(tmp_path: Path):
    written(tmp_path / "a.csv")
    written(tmp_path / "a.parquet")
    with pytest.raises(EventsUnreadable, match=r"has \.csv and \.parquet files"):
        event_files(str(tmp_path))
    with pytest.raises(EventsUnreadable, match=r"names files of \.csv and \.parquet"):
        event_files(f"{tmp_path}/a.*")
