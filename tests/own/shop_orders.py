"""Orders of an online shop, made up, the same each time.

Held by tests/own/test_shop_orders.py.
"""

from __future__ import annotations

import csv
import random
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

AGAIN_WITHIN = timedelta(days=30)
COLUMNS = ("order_id", "ordered_at", "customer_id", "amount", "channel", "items", "bought_again", "sent_back")


@dataclass(frozen=True, slots=True)
class Order:
    """`bought_again`: the customer orders again within 30 days. `sent_back`: the goods came back."""

    ordered_at: datetime
    customer_id: int
    amount: float
    channel: str
    items: int
    bought_again: bool
    sent_back: bool


def made_up_orders(customers: int, start: datetime, end: datetime) -> list[Order]:
    """All orders in [start, end), by time; another `end` changes nothing of those before both. Who orders often goes on to
    do so, and dear things come back more often.
    """
    orders = [order for customer in range(1, customers + 1) for order in _orders_of(customer, start, end)]
    return sorted(orders, key=lambda order: (order.ordered_at, order.customer_id))


def _orders_of(customer: int, start: datetime, end: datetime) -> list[Order]:
    choice = random.Random(customer)
    pause, at, made = 3 + choice.expovariate(1 / 25), start + timedelta(days=choice.random() * 60), []
    while at < end + AGAIN_WITHIN:
        amount, channel = round(1 + choice.expovariate(1 / 40), 2), choice.choice(("web", "app", "store"))
        back = choice.random() < min(0.9, amount / 150)
        made.append(Order(at, customer, amount, channel, choice.randint(1, 6), bought_again=False, sent_back=back))
        at += timedelta(days=choice.expovariate(1 / pause), seconds=1)
    again = [following.ordered_at <= order.ordered_at + AGAIN_WITHIN for order, following in pairwise(made)]
    known = [replace(order, bought_again=follows) for order, follows in zip(made, [*again, False], strict=True)]
    return [order for order in known if order.ordered_at < end]


def write_orders(file: Path, orders: Iterable[Order]) -> None:
    """As CSV, with a number for each order that is its time and customer."""
    with file.open("w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(COLUMNS)
        for order in orders:
            number = f"{order.ordered_at:%y%m%d%H%M%S}-{order.customer_id}"
            at = order.ordered_at.isoformat(" ", "seconds")
            labels = int(order.bought_again), int(order.sent_back)
            writer.writerow((number, at, order.customer_id, order.amount, order.channel, order.items, *labels))
