from __future__ import annotations

import csv
import random
import shlex
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from skewless.scaffold.event_choices import BadEventColumn
from skewless.scaffold.event_source import EventsUnreadable
from skewless.scaffold.events import ColumnChoices, make_from_events
from tests.scaffold.own_project import OwnProject, command, texts
from tests.services.serve_process import SKEWLESS

HEADER = "orderId,ordered_at,customer_id,Channel,amount,gift,items,returned"


def events(file: Path) -> Path:
    """Orders of a shop: numbers, bools, texts, times, and nulls."""
    choice = random.Random(3)
    rows = []
    for customer in range(1, 121):
        at, share = datetime(2025, 1, 1) + timedelta(days=choice.random() * 60), choice.random()
        for _ in range(choice.randint(3, 20)):
            items = choice.randint(1, 5) if choice.random() < 0.9 else ""
            amount, gift = round(choice.expovariate(1 / 40), 2), choice.choice(["true", "false"])
            rows.append(
                (at, customer, choice.choice(["web", "app", ""]), amount, gift, items, int(choice.random() < share))
            )
            at += timedelta(days=choice.expovariate(1 / 12), seconds=1)
    lines = [f"{n},{row[0]:%Y-%m-%d %H:%M:%S},{','.join(map(str, row[1:]))}" for n, row in enumerate(sorted(rows), 1)]
    file.write_text("\n".join([HEADER, *lines]) + "\n")
    return file


def test_from_a_file_of_events_to_a_proven_prediction(tmp_path: Path, redis_url: str):
    events(tmp_path / "shop events.csv")
    words = ["init", "mine", "--from", "shop events.csv", "--label", "returned"]
    printed = command(tmp_path, redis_url, str(SKEWLESS), *words)
    assert "Their time is `ordered_at`" in printed
    assert "Their key is `customer_id`" in printed
    project = OwnProject(tmp_path / "mine", redis_url)
    assert "5 passed" in project.own_tests()
    answer = project.predict(project.run("build"))
    assert 0 < answer["scores"][0] < 1
    assert "0 of 1 scores differ" in project.run("audit")


def test_features_are_served_without_a_model(tmp_path: Path, redis_url: str):
    source = events(tmp_path / "orders.csv")
    make_from_events(tmp_path / "mine", str(source), ColumnChoices())
    project = OwnProject(tmp_path / "mine", redis_url)
    assert "3 passed" in project.own_tests()
    assert "declare a model in models.py" in project.run("build")
    line = next(line for line in (tmp_path / "mine" / "README.md").read_text().splitlines() if line.startswith("feast"))
    words = shlex.split(line)
    printed = command(tmp_path / "mine", redis_url, str(SKEWLESS.with_name("feast")), *words[1:])
    rows = [
        row
        for row in csv.DictReader(source.read_text().splitlines())
        if row["customer_id"] == words[words.index("-e") + 1].split("=")[1]
    ]
    last = max(datetime.fromisoformat(row["ordered_at"]) for row in rows)
    assert str(int(last.replace(tzinfo=UTC).timestamp())) in printed


@pytest.mark.parametrize("ending", ["csv", "parquet", "jsonl", ""])
def test_what_is_inferred_is_the_same_of_each_format(tmp_path: Path, ending: str):
    source = events(tmp_path / "orders.csv")
    if ending != "csv":
        file = tmp_path / "orders" / "part.parquet" if not ending else tmp_path / f"orders.{ending}"
        file.parent.mkdir(exist_ok=True)
        options = "(FORMAT json)" if ending == "jsonl" else "(FORMAT parquet)"
        duckdb.sql(f"COPY (FROM read_csv('{source}')) TO '{file}' {options}")
        source = file if ending else file.parent
    draft = make_from_events(tmp_path / "mine", str(source), ColumnChoices(label="returned"))
    assert [(feature.name, feature.dtype) for feature in draft.features] == [
        ("channel", "String"),
        ("amount", "Float64"),
        ("gift", "Bool"),
        ("items", "Int64"),
    ]
    assert (draft.entity.key, draft.entity.dtype) == ("customer_id", "INT64")
    assert "Column 'orderId' is left out, since it numbers the rows" in texts(tmp_path / "mine")


def test_without_a_label_there_is_a_question(tmp_path: Path):
    draft = make_from_events(tmp_path / "mine", str(events(tmp_path / "orders.csv")), ColumnChoices())
    assert draft.model is None
    models = (tmp_path / "mine" / "feature_repo" / "models.py").read_text()
    assert "Which column is to be predicted?" in models
    assert "_labels" not in texts(tmp_path / "mine")


@pytest.mark.parametrize(
    ("choices", "says"),
    [
        (ColumnChoices(entity="customer"), r"no column 'customer'; did you mean 'customer_id'\?.*give --entity COLUMN"),
        (ColumnChoices(entity="amount"), "'amount' is DOUBLE, neither whole nor text; give --entity"),
        (ColumnChoices(time="amount"), "'amount' is DOUBLE, and holds no times; give --time"),
        (ColumnChoices(label="items"), "'items' holds '1', '2', '3', '4', '5', which are not 0 and 1.*items=VALUE"),
        (ColumnChoices(label="channel"), "no column 'channel'"),
    ],
)
def test_a_column_that_does_not_fit_is_refused(tmp_path: Path, choices: ColumnChoices, says: str):
    file = events(tmp_path / "orders.csv")
    with pytest.raises(BadEventColumn, match=says):
        make_from_events(tmp_path / "mine", str(file), choices)
    assert not (tmp_path / "mine").exists()


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("gone.csv", None, "no such file"),
        ("a.txt", "x", "may end in .csv"),
        ("a.csv", "customer_id,at\n", "no rows"),
        ("a.parquet", "nonsense", "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path, name: str, content: str | None, says: str):
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(EventsUnreadable, match=says):
        make_from_events(tmp_path / "mine", str(tmp_path / name), ColumnChoices())


def test_any_name_of_a_column_is_taken(tmp_path: Path):
    odd = "SELECT 'c' || (i % 7) AS \"User Id\", TIMESTAMPTZ '2025-01-01' + to_hours(i) AS at, i % 2 = 0 AS \"class\", "
    odd += """i / 3 AS "total {eur} ""net\"\"", {'a': 1} AS nested, DATE '2025-01-01' AS "Day" FROM range(200) t(i)"""
    duckdb.sql(f"COPY ({odd}) TO '{tmp_path}/odd.parquet' (FORMAT parquet)")
    draft = make_from_events(tmp_path / "mine", str(tmp_path / "odd.parquet"), ColumnChoices(time="at", label="class"))
    assert draft.entity.key == "user_id"
    assert [feature.name for feature in draft.features] == ["total_eur_net"]
    assert draft.model
    assert draft.model.label == "class_"
    command(tmp_path / "mine", "", sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider")


def test_an_entity_may_be_called_as_its_key(tmp_path: Path):
    rows = [f"{number % 7},2025-01-{number % 28 + 1:02}" for number in range(60)]
    (tmp_path / "events.csv").write_text("\n".join(["user,at", *rows]) + "\n")
    draft = make_from_events(tmp_path / "mine", str(tmp_path / "events.csv"), ColumnChoices(entity="user"))
    assert (draft.entity.name, draft.entity.key) == ("user", "user")


def test_times_that_do_not_divide_are_refused(tmp_path: Path):
    (tmp_path / "a.csv").write_text("at,customer_id,late\n" + "2025-01-01,1,1\n2025-01-01,1,0\n" * 9)
    with pytest.raises(BadEventColumn, match=r"too few, or too close.*or leave --label out"):
        make_from_events(tmp_path / "mine", str(tmp_path / "a.csv"), ColumnChoices(label="late"))


def test_what_cannot_be_inferred_names_its_option(tmp_path: Path):
    (tmp_path / "a.csv").write_text("customer_id,amount\n1,2\n1,3\n")
    with pytest.raises(BadEventColumn, match="no column holds times; give --time"):
        make_from_events(tmp_path / "mine", str(tmp_path / "a.csv"), ColumnChoices())
    (tmp_path / "a.csv").write_text("at,amount\n2025-01-01,2\n2025-01-02,3\n")
    with pytest.raises(BadEventColumn, match="give --entity"):
        make_from_events(tmp_path / "mine", str(tmp_path / "a.csv"), ColumnChoices())


def test_wide_tables_and_odd_names_are_taken(tmp_path: Path, redis_url: str):
    odd = [
        "2nd",
        "class",
        "Größe (cm)",
        "名前",
        "event_timestamp_",
        "a__b",
        "created_timestamp",
        "request",
        'quo"te',
        "new\nline",
    ]
    wide = ", ".join(f'(i * {n} % 97)::INT AS "c {n}"' for n in range(300))
    names = ", ".join(f"""i % {n + 2} AS "{name.replace('"', '""')}\"""" for n, name in enumerate(odd))
    sql = f"SELECT i % 9 AS key_id, TIMESTAMP '2025-01-01' + to_hours(i) AS at, 'n' || (i % 2) AS y, {names}, {wide} FROM range(900) t(i)"
    duckdb.sql(f"COPY ({sql}) TO '{tmp_path}/wide.parquet' (FORMAT parquet)")
    draft = make_from_events(
        tmp_path / "mine", f"{tmp_path}/wide.parquet", ColumnChoices(entity="key_id", label="y=n1")
    )
    assert len({feature.name for feature in draft.features}) == len(draft.features) == 300 + len(odd)
    project = OwnProject(tmp_path / "mine", redis_url)
    assert project.predict(project.run("build"))["scores"]
    assert "0 of 1 scores differ" in project.run("audit")
