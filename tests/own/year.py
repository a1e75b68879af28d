"""`make own-year`: what a data scientist changes in a year, against one running server that is asked all the time.

A month is: its orders come in, are ingested and, between two days of the story, materialized; then something changes. No
request may fail, every prediction must stand the audit, and of an erased customer nothing is left. Requests name the day of
the story (SKEWLESS_ALLOW_AS_OF).
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import httpx

from tests.own.first_prediction import BEGIN, CUSTOMERS, END, own_project
from tests.own.request_load import RequestLoad
from tests.own.shop_orders import Order, made_up_orders, write_orders
from tests.own.terminal import Terminal, stop_well

MONTHS = [END + timedelta(days=30 * month) for month in range(13)]
MODEL, SECOND = "bought_again", "sent_back"
ERASED = 17
LONGEST_S = 300.0

DAG_RUN = """
import json
import sys

from airflow.dag_processing.dagbag import DagBag

dag = DagBag("dags", bundle_name="dags-folder").dags[sys.argv[1]]
dag.deadline = None  # Airflow 3.3 cannot test a DAG that has one
run = dag.test(run_conf=json.loads(sys.argv[2]))
sys.exit(str(run.state) != "success")
"""
SECOND_TABLE = '''

orders_returns = Table(
    "orders_returns",
    keys="customer_id",
    rows=SqlQuery(
        """
        SELECT
            customer_id,
            sent_back,
            floor(epoch(ordered_at))::BIGINT AS request_unix,
            ordered_at - INTERVAL 1 MICROSECOND AS event_timestamp
        FROM {source}
        """
    ),
)
'''
SECOND_MODEL = """

sent_back = Model(
    name="sent_back",
    service="mine_v1",
    spine="orders_returns",
    label="sent_back",
    label_known_after=timedelta(days=14),
    windows=bought_again.windows,
    learner=LightGbm(objective="binary", num_leaves=7, num_threads=1),
)
"""


@dataclass(slots=True)
class Year:
    """The project's terminal, the clients, all orders of the story, and the window of each file of them."""

    terminal: Terminal
    load: RequestLoad
    orders: list[Order]
    files: dict[Path, tuple[datetime, datetime]]

    def month(self, begin: datetime, end: datetime) -> None:
        """The orders of [begin, end) come in, and the day of the story is `end`.

        The window is given: `build` materialized up to the present, after which these orders would come late.
        """
        file = self.terminal.folder.parent / "orders" / f"{begin:%Y-%m-%d}.csv"
        self.files[file] = begin, end
        write_orders(file, [order for order in self.orders if begin <= order.ordered_at < end])
        self.terminal.run("skewless ingest")
        with self.load.no_requests():
            self.terminal.run(f"skewless materialize --start {begin.isoformat()} --end {end.isoformat()}")
            self.load.now = end

    def edit(self, file: str, *changes: tuple[str, str]) -> None:
        """Each text stands in the file, and is replaced everywhere. Raises: SystemExit."""
        path = self.terminal.folder / "feature_repo" / file
        text = path.read_text()
        for old, new in changes:
            if old not in text:
                raise SystemExit(f"{path} has no {old!r}:\n{text}")
            text = text.replace(old, new)
        path.write_text(text)

    def answered_by(self, model: str, version: str) -> None:
        """Wait until clients get that version's answers. Raises: SystemExit."""
        self.wait(lambda: version in self.load.versions(model), f"{model} {version} does not answer")

    def wait(self, condition: Callable[[], bool], otherwise: str) -> None:
        last = time.monotonic() + LONGEST_S
        while not condition():
            if time.monotonic() > last:
                raise SystemExit(f"{otherwise}: {self.load.answers}")
            time.sleep(0.05)

    def train(self, model: str, version: str, *, learner: str = "", publish: str = "") -> None:
        for verb in ("training-set", f"train{learner}", f"publish --version {version}{publish}"):
            self.terminal.run(f"skewless {verb} --model {model}")

    def champion(self, model: str, version: str) -> None:
        """A new version over the months until now takes the place of the champion."""
        self.train(model, version)
        self.answered_by(model, version)

    # The changes, in the order of the year.

    def new_feature(self) -> None:
        self.edit(
            "tables.py",
            ('"items" AS items,', '"items" AS items,\n            "amount" / "items" AS price,'),
        )
        self.edit(
            "features.py",
            ('        Field(name="items"', '        Field(name="price", dtype=Float64),\n        Field(name="items"'),
        )
        self.edit("services.py", ('            "items",\n', '            "items",\n            "price",\n'))
        self.terminal.run("skewless apply")
        self.terminal.run("skewless ingest")
        self.terminal.run(f"skewless materialize --full --end {self.load.now.isoformat()}")
        self.champion(MODEL, "2.0.0")

    def renamed_feature(self) -> None:
        # The old column stays beside it: versions that read it are audited at the end of the year.
        self.edit("tables.py", ('"amount" AS amount,', '"amount" AS amount,\n            "amount" AS order_value,'))
        self.edit("features.py", ('name="amount"', 'name="order_value"'))
        self.edit("services.py", ('"amount"', '"order_value"'))
        applied = self.terminal.run("skewless apply")
        if "is kept beside the new one" not in applied:
            raise SystemExit(f"the renamed feature's old definition is not kept:\n{applied}")
        self.terminal.run("skewless ingest")
        self.terminal.run(f"skewless materialize --end {self.load.now.isoformat()}")
        self.champion(MODEL, "3.0.0")

    def second_model(self) -> None:
        tables = self.terminal.folder / "feature_repo" / "tables.py"
        source = next(line.split("FROM ", 1)[1] for line in tables.read_text().splitlines() if "FROM read_csv" in line)
        tables.write_text(tables.read_text() + SECOND_TABLE.format(source=source))
        models = self.terminal.folder / "feature_repo" / "models.py"
        models.write_text(models.read_text() + SECOND_MODEL)
        self.terminal.run("skewless apply")
        self.terminal.run("skewless ingest orders_returns")
        self.train(SECOND, "1.0.0")
        listing = f"{self.load.url}/v1/models"
        self.wait(lambda: SECOND in httpx.get(listing).text, f"{SECOND} is not served")
        self.load.models = (MODEL, SECOND)
        self.answered_by(SECOND, "1.0.0")

    def canary(self) -> None:
        """A version that learns too slowly, so that the retraining of the next month has something to better."""
        self.train(MODEL, "4.0.0", learner=" --parameter learning_rate=0.0005", publish=" --no-promote")
        self.terminal.run(
            f"skewless models canary {MODEL} 4.0.0 --weight 0.3 --key customer_id --reason 'a cautious learner'"
        )
        self.answered_by(MODEL, "4.0.0")
        self.terminal.run(f"skewless models promote {MODEL} 4.0.0 --reason 'no worse in a month'")

    def retrained_by_the_dag(self) -> None:
        """Airflow's retraining up to now, whose candidate becomes a canary without a person's approval."""
        known = set(self.load.versions(MODEL))
        self.terminal.variables |= {
            "AIRFLOW_HOME": str(self.terminal.folder.parent / "airflow"),
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.terminal.folder / "dags"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        }
        options = {
            "start": (self.load.now - timedelta(days=7)).isoformat(),
            "end": self.load.now.isoformat(),
            "window": "180d,30d,30d",
            "margin": 0.0,
            "canary": 0.3,
            "approval": False,
        }
        self.terminal.run("airflow db migrate")
        (self.terminal.folder / "dag_run.py").write_text(DAG_RUN)
        self.terminal.run(f"python -W ignore dag_run.py mine_retrain_{MODEL} '{json.dumps(options)}'")
        self.wait(lambda: set(self.load.versions(MODEL)) > known, "the retrained version does not answer")
        (version,) = set(self.load.versions(MODEL)) - known
        self.terminal.run(f"skewless models promote {MODEL} {version} --reason 'retrained, and no worse'")

    def another_ttl(self) -> None:
        self.edit("features.py", ("ttl=timedelta(0)", "ttl=timedelta(days=120)"))
        self.terminal.run("skewless apply")
        self.terminal.run(f"skewless materialize --end {self.load.now.isoformat()}")
        self.champion(MODEL, "6.0.0")
        self.champion(SECOND, "2.0.0")

    def rolled_back(self) -> None:
        self.terminal.run(f"skewless models rollback {MODEL} --reason 'a look at the one before'")
        self.terminal.run(f"skewless models promote {MODEL} 6.0.0 --reason 'it was right'")

    def erased_customer(self) -> None:
        """From the raw files by hand, which no erasure reaches: the next ingest would bring the rows back."""
        self.orders = [order for order in self.orders if order.customer_id != ERASED]
        for file in (self.terminal.folder.parent / "orders").iterdir():
            begin, end = self.files[file]
            write_orders(file, [order for order in self.orders if begin <= order.ordered_at < end])
        self.terminal.run(f"skewless erase --entity customer_id={ERASED}")
        with httpx.Client() as client:
            answer = self.load.predict(client, MODEL, ERASED, explain="features").json()
        stored = [
            feature[name]["status"] for feature in answer["features"] for name in feature if name.startswith("orders__")
        ]
        if set(stored) != {"NOT_FOUND"}:
            raise SystemExit(f"the erased customer still has values: {answer}")

    def retired_model(self) -> None:
        self.load.models = (MODEL,)
        time.sleep(1)  # what is on its way is answered
        self.terminal.run(f"skewless models retire {SECOND} --reason 'nobody asks for it any more'")

    def proven(self) -> None:
        """Every version that answered in the year stands the audit: no bit differs."""
        for model in (MODEL, SECOND):
            for version in self.load.versions(model):
                self.terminal.run(f"skewless audit --model {model} --version {version}")


CHANGES: dict[int, Callable[[Year], None]] = {
    1: Year.new_feature,
    3: Year.renamed_feature,
    4: Year.second_model,
    5: Year.canary,
    6: Year.retrained_by_the_dag,
    7: Year.another_ttl,
    8: Year.rolled_back,
    9: Year.erased_customer,
    10: Year.retired_model,
}
"""What changes at the end of which month."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="make own-year", description=__doc__)
    parser.add_argument("--uv", default="uv")
    uv = str(parser.parse_args().uv)
    stop_well()
    with (
        tempfile.TemporaryDirectory(prefix="skewless-year-") as folder,
        own_project(Path(folder), uv, "pipelines,airflow", SKEWLESS_ALLOW_AS_OF="true") as (terminal, _),
        terminal.serving() as url,
        RequestLoad(url, CUSTOMERS, END, (MODEL,)).asking() as load,
    ):
        (first,) = (terminal.folder.parent / "orders").iterdir()
        year = Year(terminal, load, made_up_orders(CUSTOMERS, BEGIN, MONTHS[-1]), {first: (BEGIN, END)})
        for number, (begin, end) in enumerate(pairwise(MONTHS), 1):
            print(f"\nmonth {number}: {CHANGES[number].__name__.replace('_', ' ') if number in CHANGES else 'orders'}")
            year.month(begin, end)
            if number in CHANGES:
                CHANGES[number](year)
        year.proven()
    print()
    for (model, status, version), count in sorted(load.answers.items()):
        print(f"{count:8,d}  {model} {version}: {status}")
    if load.failures:
        sys.exit(f"{len(load.failures)} requests failed; the first: {load.failures[0]}")


if __name__ == "__main__":
    main()
