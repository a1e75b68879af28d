"""The project that is made from nothing: customers of a shop, and whether they buy again within 30 days."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

from skewless.scaffold.draft import EntityDraft, FeatureDraft, ModelDraft, ProjectDraft
from skewless.scaffold.names import feast_name
from skewless.scaffold.write import write_project

_WINDOWS = (330, 150, 75, 0)
"""Days before the end of the history at which training, validation and test begin, and the test ends."""


def shop_draft(name: str, today: date) -> ProjectDraft:
    """The shop's project; its history ends when `today` begins (UTC). Raises: BadProjectName."""
    boundaries = [_source(today - timedelta(days=days)) for days in _WINDOWS]
    return ProjectDraft(
        name=name,
        project=feast_name(name),
        story="Customers of a shop: who buys again within 30 days? The orders are made up, the same ones each time.",
        entity=EntityDraft("customer", "customer_id", "INT64", "1"),
        view="orders",
        features=[
            FeatureDraft("orders_so_far", "Int64", "Number of orders up to this one."),
            FeatureDraft("total", "Float64", "Amount of the last order."),
            FeatureDraft("mean_total", "Float64", "Mean amount of all orders so far."),
            FeatureDraft("mean_gap_days", "Float64", "Mean number of days between orders; null after the first."),
        ],
        ttl_days=365,
        request_unix=int(datetime.combine(today, time(), UTC).timestamp()),
        model=ModelDraft("buys_again", "buys_again", timedelta(days=30), boundaries),
    )


def make_shop(folder: Path, today: date) -> ProjectDraft:
    """Write the shop's project. Raises: BadProjectName, FolderNotEmpty."""
    draft = shop_draft(folder.name, today)
    write_project(
        folder,
        draft,
        "tables_of_the_shop.py",
        {"today": _source(today), "spine": "customer_weeks", "from_events": False},
    )
    return draft


def _source(day: date) -> str:
    return f"date({day.year}, {day.month}, {day.day})"
