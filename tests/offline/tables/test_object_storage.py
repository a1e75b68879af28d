"""Tables in object storage, on a real S3 server: what the join reads is what is there now, each file fetched once."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import FileSource
from pyarrow import fs

from skewless.contract.errors import InvalidPlan
from skewless.definitions.file_source import table_of
from skewless.offline.tables import object_storage
from skewless.offline.tables.append import append
from skewless.offline.tables.object_storage import RemoteReadOnly, RemoteUnreadable
from skewless.offline.tables.source import TableSource
from skewless.runtime.errors import SourceMissing
from tests.services.s3 import BUCKET, S3, s3, s3_server

__all__ = ["s3", "s3_server"]
DAY = 86_400_000_000


def put(s3: S3, path: str, *values: int) -> None:
    pq.write_table(pa.table({"value": pa.array(values, pa.int64())}), f"{BUCKET}/{path}", filesystem=s3.filesystem)


def source(s3: S3, data: Path, path: str = "told") -> TableSource:
    files = FileSource(
        name="told", path=f"s3://{BUCKET}/{path}", timestamp_field="at", s3_endpoint_override=s3.endpoint
    )
    return table_of("told", files, data)


def values(table: TableSource, until: int | None = None) -> list[int]:
    return [value for file in table.files(until=until) for value in pq.read_table(file)["value"].to_pylist()]


def test_the_table_is_what_is_there_now(s3, tmp_path):
    table = source(s3, tmp_path)
    with pytest.raises(SourceMissing, match=f"s3://{BUCKET}/told"):
        table.files()
    put(s3, "told/part-0.parquet", 1)
    put(s3, "told/part-1.parquet", 2)
    put(s3, "told/_temporary/part-2.parquet", 3)
    put(s3, "told_by_others/part-0.parquet", 4)
    assert values(table) == [1, 2]
    put(s3, "told/part-1.parquet", 5, 6)
    s3.filesystem.delete_file(f"{BUCKET}/told/part-0.parquet")
    assert values(table) == [5, 6]
    assert not [file for file in tmp_path.rglob("*") if file.is_file() and file.name.startswith(".")]


def test_a_file_is_fetched_once_and_later_days_not_at_all(s3, tmp_path, monkeypatch):
    for day in (1, 2, 3):
        put(s3, f"told/day=1970-01-0{day}/part-0.parquet", day)
    table = source(s3, tmp_path)
    fetched = []
    copy = object_storage.shutil.copyfileobj
    monkeypatch.setattr(object_storage.shutil, "copyfileobj", lambda *args: (fetched.append(1), copy(*args)))
    assert values(table, until=2 * DAY - 1) == [1, 2]
    assert len(fetched) == 2
    assert values(table) == [1, 2, 3]
    assert values(table) == [1, 2, 3]
    assert len(fetched) == 3
    assert table.files(until=-1) == []


def test_a_table_may_be_one_file(s3, tmp_path):
    put(s3, "one.parquet", 1, 2)
    table = source(s3, tmp_path, "one.parquet")
    assert values(table) == [1, 2]
    put(s3, "one.parquet", 3, 4, 5)
    assert values(table) == [3, 4, 5]


def test_other_filesystems_are_fsspecs(tmp_path):
    import fsspec

    memory = fsspec.filesystem("memory")
    with memory.open("/bucket/told/part-0.parquet", "wb") as file:
        pq.write_table(pa.table({"value": [7]}), file)
    table = table_of("told", FileSource(path="memory://bucket/told", timestamp_field="at"), tmp_path)
    assert values(table) == [7]
    local = tmp_path / "elsewhere"
    local.mkdir()
    pq.write_table(pa.table({"value": [8]}), local / "part-0.parquet")
    assert values(table_of("told", FileSource(path=local.as_uri(), timestamp_field="at"), tmp_path)) == [8]


def test_a_file_that_changes_while_it_is_read_is_read_again(s3, tmp_path, monkeypatch):
    put(s3, "told/part-0.parquet", 1)
    copy = object_storage.shutil.copyfileobj

    def changing(*args: object) -> None:
        copy(*args)
        monkeypatch.setattr(object_storage.shutil, "copyfileobj", copy)
        put(s3, "told/part-0.parquet", 2, 3)

    monkeypatch.setattr(object_storage.shutil, "copyfileobj", changing)
    assert values(source(s3, tmp_path)) == [2, 3]


def test_a_fetch_that_breaks_leaves_the_copy_as_it_was(s3, tmp_path, monkeypatch):
    put(s3, "told/part-0.parquet", 1)
    table = source(s3, tmp_path)
    before = values(table)
    put(s3, "told/part-0.parquet", 2, 3)

    def broken(*_: object) -> None:
        raise OSError("connection reset")

    monkeypatch.setattr(object_storage.shutil, "copyfileobj", broken)
    with pytest.raises(RemoteUnreadable, match="connection reset"):
        table.files()
    monkeypatch.undo()
    kept = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert [pq.read_table(file)["value"].to_pylist() for file in kept] == [before]


@pytest.mark.parametrize(
    ("url", "endpoint", "error", "said"),
    [
        ("s3://features/told", "http://127.0.0.1:9", RemoteUnreadable, "s3_endpoint_override"),
        ("nowhere://features/told", "", InvalidPlan, "cannot be opened"),
    ],
)
def test_what_cannot_be_read_is_told(tmp_path, monkeypatch, url, endpoint, error, said):
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    files = FileSource(path=url, timestamp_field="at", s3_endpoint_override=endpoint)
    with pytest.raises(error, match=said):
        table_of("told", files, tmp_path).files()


def test_a_remote_table_is_not_written(s3, tmp_path):
    put(s3, "told/part-0.parquet", 1)
    times = pa.array([1], pa.int64()).cast(pa.timestamp("us", "UTC"))
    with pytest.raises(RemoteReadOnly, match="read only"):
        append(source(s3, tmp_path), pa.table({"value": [1], "at": times}), now=1)
    infos = s3.filesystem.get_file_info(fs.FileSelector(f"{BUCKET}/told", recursive=True))
    assert [info.base_name for info in infos if info.type == fs.FileType.File] == ["part-0.parquet"]
