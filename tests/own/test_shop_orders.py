from __future__ import annotations

import csv
from datetime import datetime, timedelta
from pathlib import Path

from tests.own.shop_orders import AGAIN_WITHIN, COLUMNS, made_up_orders, write_orders

START, END = datetime(2025, 1, 1), datetime(2025, 4, 1)


def test_a_longer_history_begins_with_the_shorter_one():
    short, long = made_up_orders(50, START, END), made_up_orders(50, START, END + timedelta(days=90))
    assert short == [order for order in long if order.ordered_at < END]
    assert len(long) > len(short) > 100


def test_the_label_says_what_the_customer_did():
    orders = made_up_orders(20, START, END + 2 * AGAIN_WITHIN)
    for order in orders:
        later = [
            other for other in orders if other.customer_id == order.customer_id and other.ordered_at > order.ordered_at
        ]
        if order.ordered_at < END:
            assert order.bought_again == any(other.ordered_at <= order.ordered_at + AGAIN_WITHIN for other in later)
    assert {order.bought_again for order in orders} == {True, False}


def test_a_file_has_a_line_for_each_order(tmp_path: Path):
    orders = made_up_orders(5, START, END)
    write_orders(tmp_path / "orders.csv", orders)
    with (tmp_path / "orders.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert [int(row["customer_id"]) for row in rows] == [order.customer_id for order in orders]
    assert len({row["order_id"] for row in rows}) == len(orders)
