"""Names, types and times of rows that come in: exact, or refused with row and value."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pyarrow as pa
import pytest

from skewless.contract.value_types import value_type
from skewless.offline.tables.row_shape import IngestMismatch, RowShape

AT = datetime(2024, 7, 1, 12, tzinfo=UTC)
NAIVE = AT.replace(tzinfo=None)


def fitted(shape: RowShape, *parts: dict[str, object]) -> pa.Table:
    batches = [pa.RecordBatch.from_pydict({"id": pa.array([1] * len(next(iter(p.values())))), **p}) for p in parts]
    return pa.Table.from_batches(list(shape.fitted(batches, "orders.csv")))


def shape(**options: object) -> RowShape:
    return RowShape("orders", ("id",), **options)


TIMES = {
    "aware": (pa.array([AT]), AT),
    "of another zone": (pa.array([AT]).cast(pa.timestamp("us", "Asia/Tokyo")), AT),
    "naive": (pa.array([NAIVE]), datetime(2024, 7, 1, 10, tzinfo=UTC)),
    "nanoseconds before 1970": (pa.array([-1], pa.timestamp("ns", "UTC")), datetime(1969, 12, 31, 23, 59, 59, 999999, UTC)),
    "seconds": (pa.array([0], pa.timestamp("s", "UTC")), datetime(1970, 1, 1, tzinfo=UTC)),
    "a day": (pa.array([NAIVE.date()]), datetime(2024, 6, 30, 22, tzinfo=UTC)),
    "a text": (pa.array(["2024-07-01 12:00:00"]), datetime(2024, 7, 1, 10, tzinfo=UTC)),
    "a text with its offset": (pa.array(["2024-07-01T12:00:00Z"]), AT),
}  # fmt: skip


@pytest.mark.parametrize("kind", TIMES)
def test_times_are_utc_microseconds_and_naive_ones_are_of_the_zone(kind: str):
    given, expected = TIMES[kind]
    found = fitted(shape(timezone="Europe/Berlin"), {"event_timestamp": given})["event_timestamp"]
    assert (found.type, found.to_pylist()) == (pa.timestamp("us", "UTC"), [expected])


def test_texts_of_several_forms():
    texts = pa.array(["2024-07-01", "2024-07-01T12:00:00+02:00", "2024-07-01T12:00:00.5Z"])
    found = fitted(shape(), {"event_timestamp": texts})["event_timestamp"].to_pylist()
    assert found == [AT.replace(hour=0), AT.replace(hour=10), AT.replace(microsecond=500_000)]


def test_a_time_that_the_clock_shows_twice_is_refused():
    twice = pa.array([NAIVE, datetime(2024, 10, 27, 2, 30)])
    with pytest.raises(
        IngestMismatch, match=r"'event_timestamp' has datetime.datetime\(2024, 10, 27, 2, 30\) in row 2"
    ):
        fitted(shape(timezone="Europe/Berlin"), {"event_timestamp": twice})


def test_columns_get_the_tables_names_and_declared_types():
    kinds = {
        "n": value_type("Int64"),
        "ok": value_type("Bool"),
        "x": value_type("Float32"),
        "name": value_type("String"),
    }
    columns = {"at": pa.array([NAIVE]), "N": pa.array([3.0]), "ok": pa.array([1]), "x": pa.array([0.1])}
    columns["name"] = pa.array(["ü"]).cast(pa.string_view())
    found = fitted(shape(names={"at": "event_timestamp", "N": "n"}, types=kinds), columns)
    assert found.column_names == ["id", "event_timestamp", "n", "ok", "x", "name"]
    assert [str(found[name].type) for name in kinds] == ["int64", "bool", "float", "string"]


def test_a_null_created_timestamp_is_the_event_time_and_absent_times_are_added():
    created = pa.array([None, AT.replace(hour=13)], pa.timestamp("us", "UTC"))
    found = fitted(
        shape(times={"ordered_at": "event_timestamp"}), {"event_timestamp": [AT, AT], "created_timestamp": created}
    )
    assert found["created_timestamp"].to_pylist() == [AT, AT.replace(hour=13)]
    assert found["ordered_at"].to_pylist() == [AT, AT]
    found = fitted(shape(times={"created_timestamp": "created_timestamp"}), {"event_timestamp": [AT]})
    assert found["created_timestamp"].to_pylist() == [AT]


def test_columns_that_nobody_declares_keep_the_type_of_the_first_batch():
    parts = [{"event_timestamp": [AT], "n": pa.array([value])} for value in (1, 2.0)]
    assert fitted(shape(), *parts)["n"].type == pa.int64()
    with pytest.raises(IngestMismatch, match=r"column 'n' has 2\.5 in row 2, which is not int64"):
        fitted(shape(), parts[0], {"event_timestamp": [AT], "n": pa.array([2.5])})


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"event_timestamp": [AT, None]}, "row 2 has no 'event_timestamp'; nothing was written"),
        ({"event_timestamp": [AT, AT], "n": [1.0, 1.5]}, "column 'n' has 1.5 in row 2, which is not Int64"),
        ({"event_timestamp": [AT, AT], "n": ["1", "2"]}, "column 'n' is string and must be Int64"),
        ({"event_timestamp": [AT, AT]}, r"its rows lack the column 'n'; they have \['id', 'event_timestamp'\]"),
        (
            {"event_timestamp": ["x", "y"], "n": [1, 2]},
            "column 'event_timestamp' has 'x' in row 1, which is not a time",
        ),
    ],
)
def test_what_is_not_exact_is_refused_with_row_and_value(columns: dict[str, list], reason: str):
    wanted = {} if "row 2 has no" in reason else {"n": value_type("Int64")}
    with pytest.raises(IngestMismatch, match=f"table 'orders' cannot be ingested from orders.csv: {reason}"):
        fitted(shape(types=wanted), columns)


def test_stamped_rows_bring_no_created_time():
    with pytest.raises(IngestMismatch, match="it is `stamped` and its rows have 'created_timestamp'"):
        fitted(shape(stamped=True), {"event_timestamp": [AT], "created_timestamp": [AT]})


def test_a_price_that_is_no_double_is_named_with_its_mend():
    prices = shape(types={"price": value_type("Float64")})
    given = {"event_timestamp": pa.array([AT] * 2)}
    assert fitted(prices, {**given, "price": pa.array([Decimal("1.50"), None])})["price"].to_pylist() == [1.5, None]
    with pytest.raises(IngestMismatch) as refused:
        fitted(prices, {**given, "price": pa.array([Decimal("1.50"), Decimal("1.10")])})
    assert (
        "column 'price' has 1.10 in row 2, which is not Float64: cast it to DOUBLE in the SQL that makes the table, which "
        "rounds it, or declare it as Decimal; nothing was written"
    ) in str(refused.value)
    exact = fitted(shape(types={"price": value_type("Decimal")}), {**given, "price": pa.array([Decimal("1.10")] * 2)})
    assert exact["price"].to_pylist() == [Decimal("1.10")] * 2
