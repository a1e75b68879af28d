from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from skewless.scaffold.event_choices import BadEventColumn, EventChoices
from skewless.scaffold.event_files import event_files


def choices(folder: Path, columns: str, rows: int = 200) -> EventChoices:
    """The choices of a Parquet file with these columns, as SQL of the row's number `i`."""
    duckdb.sql(f"COPY (SELECT {columns} FROM range({rows}) t(i)) TO '{folder}/e.parquet' (FORMAT parquet)")
    with event_files(f"{folder}/e.parquet").opened() as source:
        found = EventChoices.of(source)
        time = found.time(None).column
        return EventChoices(Known(source.title, found.known_since(time)), found.columns)


class Known:
    """A source that is closed, with what was asked of it before."""

    def __init__(self, title: str, known: object) -> None:
        self.title, self.known = title, known


DAY = "TIMESTAMP '2025-01-01' + to_hours(i)"


@pytest.mark.parametrize(
    ("columns", "time", "others"),
    [
        (f"{DAY} AS at", "at", ()),
        (
            f"{DAY} AS booked, DATE '1980-01-01' AS birth_date, {DAY} AS ordered_at",
            "ordered_at",
            ("birth_date", "booked"),
        ),
        (f"{DAY} AS created_at, {DAY} AS event_time", "event_time", ("created_at",)),
        (f"{DAY} AS updated_at, {DAY} AS shipped_on", "shipped_on", ("updated_at",)),
        ("1700000000 + i AS ts, 1700000000 + i AS amount", "ts", ()),
        ("(1700000000000 + i)::BIGINT AS event_time", "event_time", ()),
        ("'2025-01-01T00:00:00+02:00' AS ts", "ts", ()),
    ],
)
def test_the_time_is_what_is_called_so(tmp_path: Path, columns: str, time: str, others: tuple[str, ...]):
    chosen = choices(tmp_path, columns).time(None)
    assert (chosen.column.name, chosen.others) == (time, others)


@pytest.mark.parametrize(
    ("columns", "known", "others"),
    [
        (f"{DAY} AS event_time, {DAY} + to_hours(i % 3) AS created", "created", ()),
        (f"{DAY} AS event_time, {DAY} - to_hours(i % 3) AS created", None, None),
        (f"{DAY} AS event_time, {DAY} + to_hours(9) AS due_at", None, None),
        (f"{DAY} AS event_time, {DAY} AS due_at, {DAY} AS loaded_at", "loaded_at", ("due_at",)),
        (f"{DAY} AS created_at, {DAY} + to_hours(1) AS updated_at", "updated_at", ()),
        (f"{DAY} AS event_time, CASE WHEN i > 3 THEN {DAY} END AS booked_at", "booked_at", ()),
    ],
)
def test_known_since_is_never_before_the_event(tmp_path: Path, columns: str, known: str | None, others: object):
    chosen = choices(tmp_path, columns).source.known
    assert (chosen and (chosen.column.name, chosen.others)) == (known and (known, others))


@pytest.mark.parametrize(
    ("columns", "key", "others"),
    [
        (f"{DAY} AS at, i AS order_id, i % 9 AS customer_id", "customer_id", ()),
        (f"{DAY} AS at, i % 9 AS customer_id, 'm' || (i % 3) AS merchant_no", "customer_id", ("merchant_no",)),
        (f"{DAY} AS at, CASE WHEN i > 5 THEN (i % 9)::DOUBLE END AS customer_id", "customer_id", ()),
    ],
)
def test_the_key_comes_again(tmp_path: Path, columns: str, key: str, others: tuple[str, ...]):
    chosen = choices(tmp_path, columns).key(None, None)
    assert (chosen.column.name, chosen.column.dtype in ("Int64", "String"), chosen.others) == (key, True, others)


def test_halves_are_no_key(tmp_path: Path):
    with pytest.raises(BadEventColumn, match="give --entity"):
        choices(tmp_path, f"{DAY} AS at, (i % 9) / 2 AS customer_id").key(None, None)


@pytest.mark.parametrize("unit", ["second", "millisecond", "microsecond"])
def test_numbers_are_times_in_the_unit_of_their_size(tmp_path: Path, unit: str):
    per_second = {"second": 1, "millisecond": 1_000, "microsecond": 1_000_000}[unit]
    column = choices(tmp_path, f"((1700000000 + i::BIGINT) * {per_second}) AS ts").time(None).column
    sql = f"SELECT min(epoch_us({column.time})) FROM '{tmp_path}/e.parquet'"
    assert duckdb.sql(sql).fetchall() == [(1_700_000_000_000_000,)]
