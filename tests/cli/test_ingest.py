"""`skewless ingest`: the tables that a project declares, or files by hand, through one door."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.cli.shop_project import CommandResult, Shop, Skewless

PEOPLE = """
from datetime import timedelta

from skewless.project import SqlQuery, Table


@Table("people", keys="customer", start="2024-01-01", end="2024-01-04")
def people(start, end):
    days = (end - start).days
    return [{"customer": n, "event_timestamp": start + timedelta(days=n), "age": 30.0} for n in range(days)]
"""
NEW = """
from skewless.project import SqlQuery, Table

people = Table(
    "people", keys="customer", new_by="id", new_from=0, columns={"at": "event_timestamp"},
    rows=SqlQuery("SELECT id, customer, t AS at, age FROM 'raw/*.csv' WHERE id >= $since"),
)
"""


def declare(market: Shop, text: str) -> str:
    file = market.state / "feature_repo" / "tables.py"
    file.write_text(text)
    return str(file)


def stored(market: Shop, table: str = "people") -> list[dict]:
    rows = pq.read_table(market.data / table, partitioning=None)
    return rows.sort_by([("customer", "ascending"), ("created_timestamp", "ascending")]).to_pylist()


@pytest.mark.parametrize(
    ("words", "days"),
    [
        ([], [1, 2, 3]),
        (["people"], [1, 2, 3]),
        (["--start", "2024-01-02"], [2, 3]),
        (["people", "--start", "2024-01-01", "--end", "2024-01-02"], [1]),
    ],
)
def test_declared_tables_over_their_days(market: Shop, skewless: Skewless, words: list[str], days: list[int]):
    declare(market, PEOPLE)
    told = skewless("ingest", *words)
    assert (told.status, f"{len(days)} rows in 1 tables, {len(days)} files changed" in told.out) == (0, True), told
    assert [row["event_timestamp"].day for row in stored(market)] == days
    assert [(row["age"], row["created_timestamp"]) for row in stored(market)] == [
        (30, row["event_timestamp"]) for row in stored(market)
    ], "in the types of the feature view that reads it, and known since the event"
    assert pq.read_schema(next((market.data / "people").rglob("*.parquet"))).field("age").type == pa.int64()
    assert "0 files changed" in skewless("ingest", *words).out


def test_types_that_the_table_declares_and_a_zone_of_its_own(market: Shop, skewless: Skewless):
    declare(
        market,
        "from feast.types import Float64\nfrom skewless.project import Table\nvisits = Table('visits', keys='customer', "
        "types={'pages': Float64, 'customer': 'Int64'}, timezone='Europe/Berlin')\n",
    )
    (market.state / "visits.csv").write_text("customer,event_timestamp,pages\n1,2024-07-01 00:30,3\n")
    told = skewless("ingest", "visits", str(market.state / "visits.csv"))
    assert told.status == 0, told
    (file,) = (market.data / "visits").rglob("*.parquet")
    assert file.parent.name == "day=2024-06-30"
    assert [str(kind) for kind in pq.read_schema(file).types] == ["int64", "timestamp[us, tz=UTC]", "double"]


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ('SqlQuery("SELECT * FROM seen WHERE id >= $since"), new_by="id", new_from=0', "of which what is new is read"),
        ('SqlQuery("SELECT 1 AS customer")', "of which all rows are read"),
    ],
    ids=["new rows", "all rows"],
)
def test_days_of_a_table_that_is_not_filled_by_days(market: Shop, skewless: Skewless, rows: str, reason: str):
    table = f'from skewless.project import SqlQuery, Table\npeople = Table("people", keys="customer", rows={rows})\n'
    declare(market, table)
    told = skewless("ingest", "people", "--end", "2024-01-02")
    assert told.status == 2, told
    assert f"--end is not for table 'people', {reason}; leave it out" in told.err


def add(market: Shop, skewless: Skewless, name: str, text: str, *options: str) -> CommandResult:
    (market.state / name).write_text(text)
    return skewless("ingest", "people", str(market.state / name), *options)


def test_files_by_hand_for_a_table_that_only_a_feature_view_knows(market: Shop, skewless: Skewless):
    text = "customer,when,age\n1,2024-01-01 10:00:00,30\n2,2024-01-02 10:00:00,\n"
    for changed in (2, 0):
        told = add(market, skewless, "a.csv", text, "--column", "when=event_timestamp")
        assert (told.status, f"{changed} files changed" in told.out) == (0, True), told
    assert (
        add(
            market, skewless, "b.jsonl", '{"customer": 1, "event_timestamp": "2024-01-01T10:00:00Z", "age": 31}\n'
        ).status
        == 0
    )
    assert [(row["customer"], row["age"]) for row in stored(market)] == [(1, 31), (2, None)], "the last one counts"
    skewless("materialize", "--view", "people", "--end", "2024-02-01")
    told = skewless("verify", "--view", "people")
    assert (told.status, "no differences" in told.out) == (0, True)


def test_stamped_rows_keep_the_time_at_which_they_came(market: Shop, skewless: Skewless):
    declare(market, "from skewless.project import Table\npeople = Table('people', keys='customer', stamped=True)\n")
    before = datetime.now(UTC)
    for age in (30, 30, 31):
        add(market, skewless, "a.csv", f"customer,event_timestamp,age\n1,2024-01-01,{age}\n")
    rows = stored(market)
    assert [row["age"] for row in rows] == [30, 31]
    assert before < rows[0]["created_timestamp"] < rows[1]["created_timestamp"]
    lines = '{"customer": 1, "event_timestamp": "2024-01-01", "age": 31}\n{"customer": 2, "event_timestamp": "2024-01-02"}\n'
    told = add(market, skewless, "b.jsonl", lines)
    assert (told.status, [row["age"] for row in stored(market)]) == (0, [30, 31, None])


def test_only_what_is_new_is_read_and_a_run_that_was_cut_short_can_be_run_again(
    market: Shop, skewless: Skewless, monkeypatch: pytest.MonkeyPatch
):
    declare(market, NEW)
    raw = market.state / "raw"
    raw.mkdir()
    (raw / "a.csv").write_text("id,customer,t,age\n1,1,2024-01-01,30\n2,2,2024-01-01,40\n")
    assert skewless("ingest").status == 0
    assert market.work.state.position("shop", "people") == 2
    (raw / "b.csv").write_text("id,customer,t,age\n2,2,2024-01-01,40\n3,1,2024-01-01,31\n")
    (raw / "a.csv").unlink()
    with monkeypatch.context() as broken:
        broken.setattr("skewless.state.database.StateDatabase.move_position", lambda *_, **__: 1 / 0)
        assert skewless("ingest").status
    assert market.work.state.position("shop", "people") == 2
    assert "0 files changed" in skewless("ingest").out, "the rows were there already"
    assert market.work.state.position("shop", "people") == 3
    assert [(row["customer"], row["age"]) for row in stored(market)] == [(1, 31), (2, 40)]


def test_a_database_by_the_variable_that_has_its_url(
    market: Shop, skewless: Skewless, postgres_url: str, monkeypatch: pytest.MonkeyPatch
):
    sql = "SELECT customer, at AS event_timestamp, age FROM people WHERE at >= $start AND at < $end"
    declare(
        market,
        "from skewless.project import SqlQuery, Table\npeople = Table('people', keys='customer', start='2024-01-01', "
        f"rows=SqlQuery({sql!r}, database='SHOP_DATABASE_URL'))\n",
    )
    told = skewless("ingest")
    assert told.status == 2
    assert told.err == (
        "error: table 'people' is read from the database whose URL is in the environment variable SHOP_DATABASE_URL, which is "
        "not set; set it, as SHOP_DATABASE_URL=postgresql://user:password@host/database\n"
    )
    monkeypatch.setenv("SHOP_DATABASE_URL", postgres_url)
    with psycopg.connect(postgres_url, autocommit=True) as shop:
        shop.execute("CREATE TABLE people (customer bigint, at timestamptz, age numeric)")
        shop.execute("INSERT INTO people VALUES (1, '2024-01-01 12:00+00', 30), (2, '2024-01-02 12:00+00', NULL)")
    assert "2 rows in 1 tables, 2 files changed" in skewless("ingest").out
    assert [(row["customer"], row["age"]) for row in stored(market)] == [(1, 30), (2, None)]


def test_tables_that_are_not_there_are_named_with_what_fills_them(market: Shop):
    from skewless.project.absent_tables import absent_tables

    declare(market, PEOPLE)
    assert absent_tables(market.work) == [
        "not filled yet: people; run `skewless ingest`",
        "table 'cards' is not filled yet; run `skewless ingest cards FILE...`",
        "table 'city' is not filled yet; run `skewless ingest city FILE...`",
    ]
    for name in ("people", "cards", "city"):
        (market.data / name).mkdir(parents=True)
        (market.data / name / "part.csv").touch()
    assert len(absent_tables(market.work)) == 3
    for name in ("people", "cards", "city"):
        (market.data / name / "part.parquet").touch()
    assert absent_tables(market.work) == []


WRONG = {
    (
        "ingest",
        "peopel",
    ): "table 'peopel' is neither declared in {repo}/tables.py nor read by an applied feature view; did you",
    ("ingest",): "{repo}/tables.py declares no tables; write it, with `from skewless.project import Table` and below ",
    ("ingest", "people"): "table 'people' is filled from files; run `skewless ingest people FILE...` (CSV, JSON Lines",
    ("ingest", "people", "x.csv"): "table 'people' cannot be ingested from x.csv: there is no such file",
}


@pytest.mark.parametrize("words", WRONG)
def test_what_to_type_next_is_said(market: Shop, skewless: Skewless, words: tuple[str, ...]):
    expected = WRONG[words]
    told = skewless(*words)
    assert (told.status, told.out) == (2, "")
    assert told.err.startswith(f"error: {expected.format(repo=market.state / 'feature_repo')}")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            PEOPLE.replace('"age": 30.0', '"age": 30.5'),
            "column 'age' has 30.5 in row 1, which is not Int64; nothing was",
        ),
        (PEOPLE.replace('"age": 30.0', '"years": 30'), "its rows lack the column 'age'; they have ['customer', 'event"),
        (PEOPLE.replace("(end - start)", "(end - stat)"), "{file}, line 9 (`days = (end - stat).days`): NameError: "),
        (
            PEOPLE.replace("timedelta(days=n)", "timedelta(days=n + 1)"),
            "it returned a row of 2024-01-04T00:00:00+00:00 for",
        ),
        (PEOPLE.replace('start="2024-01-01", ', ""), None),
    ],
)
def test_rows_that_cannot_be_stored_are_refused_whole(market: Shop, skewless: Skewless, text: str, reason: str | None):
    file = declare(market, text)
    told = skewless("ingest")
    begin = "table 'people' cannot be ingested from its function: " + reason.format(file=file) if reason else (
        "table 'people' declares no first day; write start=\"2024-01-01\" into its Table, or give the `start`"
    )  # fmt: skip
    assert (told.status, told.err.startswith(f"error: {begin}")) == (2, True), told.err
    assert not list((market.data).rglob("*.parquet"))


def test_files_for_a_table_that_fills_itself_and_options_that_do_not_fit(
    market: Shop, skewless: Skewless, tmp_path: Path
):
    declare(market, PEOPLE)
    told = add(market, skewless, "a.csv", "customer,event_timestamp,age\n1,2024-01-01,30\n")
    assert told.err.startswith("error: table 'people' is filled by its own rows, which would replace those of a file")
    for words, reason in (
        (["people", "a.csv", "--start", "2024-01-01"], "--start is not for files, which have the days that they have"),
        (["people", "--column", "a=b"], "--column is for files"),
        (["people", "a.csv", "--column", "a"], "is not SOURCE=NAME"),
        (["--start", "2024-01-01", "--end", "2024-01-02T05"], "--end 2024-01-02T05:00:00+00:00 is within a day"),
        (["--start", "2024-01-02", "--end", "2024-01-01"], "--start 2024-01-02 is not before --end 2024-01-01"),
    ):
        told = skewless("ingest", *words)
        assert (told.status, reason in " ".join(told.err.replace("│", "").split())) == (2, True), told
