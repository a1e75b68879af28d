"""Every way in which served values come to differ, on real parts: a server answers over HTTP while tables, store and
definitions are tampered with as life does it; then `skewless audit` has to name each cause, once for each difference.

Every request is about an entity of its own, so that what befell it is what the audit should say of it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from redis import Redis
from typer.testing import CliRunner

from skewless.cli import app
from skewless.contract.timestamps import to_micros
from skewless.monitoring.audit.audit import AuditResult
from skewless.monitoring.audit.causes import SkewCause
from skewless.online.store.valkey_process import free_port
from skewless.runtime.predict_server import server
from tests.airflow.served_projects import define
from tests.models import tiny
from tests.oracles import Row, entity_key, packed_row
from tests.services.predict_server import PREDICT
from tests.tables.histories import table, write

DELAYS, PLANES = msgspec.structs.replace(tiny.DELAYS, deleted_field="gone"), tiny.PLANES
HOUR = timedelta(hours=1)
AS_TRAINED, ODD_HOUR = 8, 13
BEFELL = ("WAITS", "LATE", "FIXED", "GONE", "BENT")


@dataclass
class Life:
    """A project whose store was filled at `began`, and who asked for what."""

    root: Path
    redis_url: str
    began: datetime
    asked: dict[str, str] = field(default_factory=dict)
    url: str = ""

    def delays(self, origin: str, ago: timedelta, mean: float = 5.0, known: timedelta | None = None) -> Row:
        event, created = self.began - ago, self.began - (ago if known is None else known)
        values = (np.float32(mean), 4, "A")
        return Row((origin,), to_micros(event), to_micros(created), False, values, DELAYS.fields)

    def plane(self, tail: str, age: float) -> Row:
        built = to_micros(self.began - 1_000 * HOUR)
        return Row((tail,), built, built, False, (np.float64(age), built), PLANES.fields)

    def skewless(self, *words: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, list(words))
        assert done.exception is None or isinstance(done.exception, SystemExit), repr(done.exception)
        return done.exit_code, done.output

    def ask(self, name: str, origin: str, tail: str = "N1", hour: int = AS_TRAINED, **members: Any) -> None:
        """One prediction over HTTP; its request is known as `name` from then on."""
        row = {"origin": origin, "tailnum": tail, "hour": hour}
        answer = httpx.post(f"{self.url}{PREDICT}", json={"rows": [row], **members}, timeout=120)
        assert answer.status_code == httpx.codes.OK, answer.text
        self.asked[answer.json()["request_id"]] = name

    def add(self, *rows: Row) -> None:
        write(self.root / "data", DELAYS, rows)

    def log(self) -> list[Path]:
        return sorted((self.root / "served").rglob("*.parquet"))


@pytest.fixture
def life(tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Life:
    """Defined, published, ingested, materialized."""
    monkeypatch.setenv("SKEWLESS_STATE", str(tmp_path))
    monkeypatch.setenv("SKEWLESS_REDIS_URL", redis_url)
    monkeypatch.setenv("SKEWLESS_FEATURE_REPO", str(define(tmp_path / "feature_repo", (DELAYS, PLANES))))
    tiny.write_bundle(tmp_path / "models", "1.0.0", contract=tiny.plan(delays=DELAYS))
    tiny.roll_out(tmp_path / "models", champion="1.0.0", on_store_failure="defaults")
    life = Life(tmp_path, redis_url, datetime.now(UTC) - timedelta(seconds=1))
    life.add(
        *(life.delays(name, HOUR) for name in (*BEFELL, "FRESH", "AHEAD", "UNREAD")), life.delays("AHEAD", 2 * HOUR)
    )
    write(life.root / "data", PLANES, [life.plane(tail, 12.0) for tail in ("N1", "N9")])
    assert life.skewless("materialize")[0] == 0
    return life


def happen(life: Life) -> None:
    """To each entity what it is named for, and a prediction about each."""
    now = datetime.now(UTC) - life.began
    life.add(
        life.delays("WAITS", -now, 9.0),
        life.delays("LATE", HOUR / 2, 9.0),
        life.delays("FIXED", HOUR, 9.0, known=HOUR / 2),
        replace(life.delays("GONE", HOUR / 2), deleted=True),
    )
    with Redis.from_url(life.redis_url) as redis:
        redis.hset(
            entity_key("tests", {"origin": ("String", "BENT")}), "delays", packed_row(life.delays("BENT", HOUR, 7.5))
        )
        for name in ("FRESH", *BEFELL):
            life.ask(name, name)
        life.ask("AHEAD", "AHEAD", as_of=(life.began - 1.5 * HOUR).isoformat())
        life.ask("TURNED", "FRESH", hour=ODD_HOUR)
        life.ask("SCORED", "FRESH")
        life.ask("REDEFINED", "FRESH", "N9")
        redis.client_pause(1_500, all=True)
        life.ask("UNREAD", "UNREAD")


def tamper(life: Life) -> None:
    """What can only happen once it was served: with the log, the bundle and a definition."""
    (of,) = [request for request, name in life.asked.items() if name == "SCORED"]
    for file in life.log():
        change(file, "score", lambda row: 0.5 if row["request_id"] == of else row["score"])
    shutil.rmtree(life.root / "models" / "tiny" / "1.0.0")
    tiny.write_bundle(life.root / "models", "1.0.0", contract=tiny.plan(delays=DELAYS, odd=ODD_HOUR), odd=ODD_HOUR)
    define(life.root / "feature_repo", (DELAYS, msgspec.structs.replace(PLANES, ttl_us=86_400_000_000)))
    (file,) = (life.root / "data" / "planes").rglob("*.parquet")
    pq.write_table(table(PLANES, [life.plane("N1", 12.0), life.plane("N9", 144.0)]), file)


def change(file: Path, column: str, value: Callable[[dict[str, Any]], object]) -> None:
    held = pq.read_table(file, partitioning=None)
    place = held.schema.get_field_index(column)
    values = pa.array([value(row) for row in held.to_pylist()], held.schema.field(place).type)
    pq.write_table(held.set_column(place, held.schema.field(place), values), file)


SHOULD = {
    (SkewCause.DEFAULT_USED, "delays"): "UNREAD",
    (SkewCause.DEFAULT_USED, "planes"): "UNREAD",
    (SkewCause.DEFINITION_CHANGED, "planes"): "REDEFINED",
    (SkewCause.NOT_MATERIALIZED, "delays"): "WAITS",
    (SkewCause.DELETION, "delays"): "GONE",
    (SkewCause.CORRECTION, "delays"): "FIXED",
    (SkewCause.LATE_DATA, "delays"): "LATE",
    (SkewCause.STORE_AHEAD, "delays"): "AHEAD",
    (SkewCause.CORRUPTION, "delays"): "BENT",
    (SkewCause.TRANSFORM, "rush"): "TURNED",
    (SkewCause.SCORE, "(score)"): "SCORED",
}


@pytest.mark.filterwarnings("ignore::RuntimeWarning:feast", "ignore::DeprecationWarning")
def test_the_audit_names_what_befell_each_prediction(life: Life):
    assert {cause for cause, _ in SHOULD} == set(SkewCause)
    settings = {
        "SKEWLESS_STATE": str(life.root),
        "SKEWLESS_REDIS_URL": life.redis_url,
        "SKEWLESS_ALLOW_AS_OF": "true",
        "SKEWLESS_REDIS_TIMEOUT_S": "0.3",
        "SKEWLESS_SERVED_LOG_FLUSH_S": "0.2",
    }
    with server(settings, free_port(), life.root / "server.log") as running:
        life.url = running.url
        happen(life)
    tamper(life)
    labels = [{"request_id": request, "label": int(name in {"LATE", "FIXED"})} for request, name in life.asked.items()]
    said = life.root / "outcomes.jsonl"
    said.write_text("\n".join(map(json.dumps, [*labels, {"request_id": "nobody", "label": 1}])))
    told = life.skewless("outcomes", "--model", "tiny", str(said))[1]
    assert f"{len(labels) + 1} new outcomes" in told
    assert f"1 of {len(labels) + 1} outcomes are of rows that the served log does not have" in told
    status, output = life.skewless("audit", "--model", "tiny")
    assert status == 1
    stem = life.root / "reports" / "audit-tiny-1.0.0"
    found = msgspec.json.decode(stem.with_name(f"{stem.name}.json").read_bytes(), type=AuditResult)
    judge(life, found)
    page, metrics = (stem.with_name(f"{stem.name}.{kind}").read_text() for kind in ("html", "prom"))
    for cause, view in SHOULD:
        assert f"cause: {cause}, {view}: 1 rows" in output
        assert f'skewless_audit_cause_rows{{cause="{cause}",model="tiny",version="1.0.0",view="{view}"}} 1.0' in metrics
        assert f"<h3>{cause.capitalize()}<span>1 row," in page
        assert f"what to do about {cause}: " in " ".join(output.split())
    assert f'skewless_live{{measure="rows",model="tiny",version="1.0.0"}} {len(labels):.1f}' in metrics


def judge(life: Life, found: AuditResult) -> None:
    """Each cause has one row, that of the prediction that it befell; together they are all differences."""
    assert found.rows == len(life.asked)
    assert {(SkewCause(one.cause), one.view): one.rows for one in found.causes} == dict.fromkeys(SHOULD, 1)
    for one in found.causes:
        (example,) = one.examples
        assert life.asked[example.split()[1]] == SHOULD[SkewCause(one.cause), one.view], example
    real = [one for one in found.causes if one.cause != SkewCause.DEFAULT_USED]
    assert sum(one.values for one in real) == found.differing_values
    assert sum(one.statuses for one in real) == found.differing_statuses
    assert found.differing_scores == 1
    assert found.unread_views == 2
    assert found.live is not None
    assert found.live.rows == len(life.asked)
