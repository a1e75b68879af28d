"""Rows of queries: DuckDB over files and object storage, a real PostgreSQL; errors in one line, and never a password."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skewless.offline.tables.row_shape import IngestMismatch
from skewless.offline.tables.sql_rows import database_batches, duckdb_batches
from tests.services.postgres import postgres, postgres_url  # noqa: F401 - fixtures
from tests.services.s3 import BUCKET, S3, s3, s3_server  # noqa: F401 - fixtures

START, END = datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 3, tzinfo=UTC)
RANGE = {"start": START, "end": END}
SQL = "SELECT customer, t FROM 'raw/*.csv' WHERE t >= $start AND t < $end ORDER BY customer"


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "a.csv").write_text("customer,t\n1,2024-01-01 00:00:00\n2,2024-01-02 23:30:00\n")
    (tmp_path / "raw" / "b.csv").write_text("customer,t\n3,2024-01-03 00:00:00\n")
    return tmp_path


@pytest.mark.parametrize(("zone", "customers"), [("UTC", [1, 2]), ("Europe/Berlin", [2, 3]), ("America/New_York", [1])])
def test_files_below_the_project_with_times_of_a_zone(raw: Path, zone: str, customers: list[int]):
    found = pa.Table.from_batches(list(duckdb_batches("orders", SQL, RANGE, root=raw, timezone=zone)))
    assert found["customer"].to_pylist() == customers


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("SELECT * FROM 'raw/none.csv'", "DuckDB says: IO Error: No files found that match the pattern"),
        ("SELEC 1", "DuckDB says: Parser Error: syntax error"),
        ("SELECT no_such FROM 'raw/*.csv'", 'DuckDB says: Binder Error: Referenced column "no_such" not found'),
    ],
)
def test_what_duckdb_refuses_is_said(raw: Path, sql: str, reason: str):
    with pytest.raises(IngestMismatch) as refused:
        list(duckdb_batches("orders", sql, {}, root=raw, timezone="UTC"))
    assert str(refused.value).startswith(f"table 'orders' cannot be ingested from its query: {reason}")


def test_object_storage(s3: S3, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):  # noqa: F811
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3.endpoint)
    with s3.filesystem.open_output_stream(f"{BUCKET}/raw/a.parquet") as file:
        pq.write_table(pa.table({"customer": [1, 2]}), file)
    sql = f"SELECT customer FROM read_parquet('s3://{BUCKET}/raw/a.parquet')"
    found = pa.Table.from_batches(list(duckdb_batches("orders", sql, {}, root=tmp_path, timezone="UTC")))
    assert found["customer"].to_pylist() == [1, 2]


def test_a_database_in_its_own_sql(postgres_url: str):  # noqa: F811
    with psycopg.connect(postgres_url, autocommit=True) as shop:
        shop.execute("CREATE TABLE orders (customer bigint, at timestamptz, total numeric(10, 2), id uuid, note text)")
        shop.execute(
            "INSERT INTO orders SELECT n, timestamptz '2024-01-01 12:00+00' + n * interval '1 day', n + 0.5,"
            " gen_random_uuid(), CASE WHEN n > 0 THEN 'a:b' END FROM generate_series(0, 4) AS n"
        )
    sql = "SELECT *, note = 'a:b' AS same, '10:30'::time::text AS t FROM orders WHERE at >= $start AND at < $end ORDER BY 1"
    found = pa.Table.from_batches(list(database_batches("orders", sql, RANGE, postgres_url)))
    assert found["customer"].to_pylist() == [0, 1]
    assert found["at"].to_pylist() == [datetime(2024, 1, day, 12, tzinfo=UTC) for day in (1, 2)]
    assert [str(value) for value in found["total"].to_pylist()] == ["0.50", "1.50"]
    assert found["same"].to_pylist() == [None, True]


def test_errors_of_a_database_have_no_password(postgres_url: str):  # noqa: F811
    wrong = postgres_url.replace("sk3w", "wrong")
    for url, sql in ((postgres_url, "SELECT no_such"), (wrong, "SELECT 1"), ("no url: sk3w", "SELECT 1")):
        with pytest.raises(IngestMismatch) as refused:
            list(database_batches("orders", sql, {}, url))
        told = str(refused.value)
        assert told.startswith("table 'orders' cannot be ingested from its query: ")
        assert not any(secret in told for secret in ("sk3w", "wrong%2F", "less@test"))
        assert "\n" not in told
