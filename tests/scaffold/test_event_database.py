from __future__ import annotations

import ast
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from skewless.scaffold.event_choices import BadEventColumn
from skewless.scaffold.event_database import BadDatabaseUrl, TableNotChosen
from skewless.scaffold.event_source import EventsUnreadable
from skewless.scaffold.events import ColumnChoices, make_from_events
from tests.scaffold.own_project import OwnProject, texts

PASSWORD = "sk3w"


@pytest.fixture
def shop(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database with orders; SHOP_URL has its URL."""
    choice = random.Random(5)
    rows = []
    for customer in range(60):
        at = datetime(2025, 1, 1, tzinfo=UTC) + timedelta(days=choice.random() * 30)
        for _ in range(choice.randint(4, 15)):
            at += timedelta(days=choice.expovariate(1 / 9), microseconds=choice.randint(1, 999_999))
            known = at + timedelta(minutes=choice.randint(0, 90))
            rows.append((customer, at, known, choice.choice([12.5, 3.25, None]), choice.choice(["Y", "N"])))
    with psycopg.connect(postgres_url) as connection:
        connection.execute(
            'CREATE TABLE orders (customer_id int, at timestamptz, "booked_at" timestamptz, "Total: net" numeric(9, 2), back text)'
        )
        connection.cursor().executemany("INSERT INTO orders VALUES (%s, %s, %s, %s, %s)", rows)
    monkeypatch.setenv("SHOP_URL", postgres_url)
    return postgres_url


def test_from_a_table_to_a_proven_prediction(tmp_path: Path, shop: str, redis_url: str):
    draft = make_from_events(tmp_path / "mine", "SHOP_URL", ColumnChoices(label="back"))
    assert [(feature.name, feature.dtype) for feature in draft.features] == [("total_net", "Float64")]
    assert draft.known_since
    assert PASSWORD not in texts(tmp_path / "mine")
    project = OwnProject(tmp_path / "mine", redis_url)
    assert "3 passed" in project.own_tests()
    answer = project.predict(project.run("build"))
    assert 0 < answer["scores"][0] < 1
    assert "0 of 1 scores differ" in project.run("audit")
    inside = [path for path in (tmp_path / "mine").rglob("*") if path.is_file()]
    assert not [path for path in inside if PASSWORD.encode() in path.read_bytes()]


def test_a_query_and_one_of_several_tables_are_chosen(tmp_path: Path, shop: str):
    with psycopg.connect(shop) as connection:
        connection.execute('CREATE SCHEMA "old Shop"; CREATE TABLE "old Shop".orders AS SELECT * FROM orders LIMIT 40')
    with pytest.raises(TableNotChosen, match=r"has orders, old Shop\.orders; name the one"):
        make_from_events(tmp_path / "mine", "SHOP_URL", ColumnChoices())
    with pytest.raises(TableNotChosen, match="no table 'order'; did you mean 'orders'"):
        make_from_events(tmp_path / "mine", "SHOP_URL", ColumnChoices(table="order"))
    for name, table in (("a", "old Shop.orders"), ("b", "SELECT * FROM orders WHERE at > '2025-01-15';")):
        draft = make_from_events(tmp_path / name, "SHOP_URL", ColumnChoices(table=table))
        assert (draft.view, draft.entity.key) == ({"a": "orders", "b": "events"}[name], "customer_id")
        ast.parse((tmp_path / name / "feature_repo" / "tables.py").read_text())


def test_a_url_without_a_password_names_a_variable(tmp_path: Path, shop: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PGPASSWORD", psycopg.conninfo.conninfo_to_dict(shop)["password"])
    bare = shop.replace(shop.split("skewless:")[1].split("@", maxsplit=1)[0], "").replace(":@", "@")
    draft = make_from_events(tmp_path / "my-shop", bare, ColumnChoices())
    assert draft.database == "MY_SHOP_DATABASE_URL"


@pytest.mark.parametrize(
    ("place", "says"),
    [
        (
            "postgresql://me:s3cret@localhost/shop",
            "put it into an environment variable.*then MINE_DATABASE_URL for the events",
        ),
        ("postgresql://localhost/shop?password=s3cret", "put it into an environment variable"),
        ("mysql://me:s3cret@localhost/shop", "it is mysql, and `init` infers from postgresql:// alone"),
        ("sqlite:///shop.db", "it is sqlite"),
    ],
)
def test_another_address_is_refused_without_its_password(tmp_path: Path, place: str, says: str):
    with pytest.raises(BadDatabaseUrl, match=says) as refused:
        make_from_events(tmp_path / "mine", place, ColumnChoices())
    assert "s3cret" not in str(refused.value)


def test_a_database_that_is_down_and_an_empty_table_are_told(
    tmp_path: Path, shop: str, monkeypatch: pytest.MonkeyPatch
):
    with psycopg.connect(shop) as connection:
        connection.execute("CREATE TABLE empty (customer_id int, at timestamp)")
    with pytest.raises((EventsUnreadable, BadEventColumn)):
        make_from_events(tmp_path / "mine", "SHOP_URL", ColumnChoices(table="empty"))
    monkeypatch.setenv("SHOP_URL", "postgresql://me:s3cret@127.0.0.1:9/shop")
    with pytest.raises(
        EventsUnreadable, match=r"postgresql://127\.0\.0\.1:9/shop cannot be read: the database says"
    ) as refused:
        make_from_events(tmp_path / "mine", "SHOP_URL", ColumnChoices())
    assert "s3cret" not in str(refused.value)
    assert not (tmp_path / "mine").exists()
