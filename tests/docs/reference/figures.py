"""The README's figures, from the kept results of the benchmarks; and the price of skew, from its kept numbers."""

from __future__ import annotations

import json
from typing import Any

from tests.bench.history.contenders import FEAST_DUCKDB
from tests.bench.history.contenders import OURS as OUR_JOIN
from tests.bench.materialize.contenders import FEAST as FEAST_MATERIALIZE
from tests.bench.materialize.contenders import OURS as OUR_MATERIALIZE
from tests.bench.materialize.report import rate
from tests.bench.online.contenders import OURS, STACK
from tests.bench.push import servers
from tests.checkout import ROOT
from tests.docs.reference.markdown import table

RESULTS = ROOT / "tests" / "bench" / "results"
PRICE = ROOT / "infra" / "pictures" / "skew-price.json"


def figures() -> str:
    online, push, history, filled = (_read(name) for name in ("online", "push", "history", "materialize"))
    busy = {one["contender"]: one for one in online["throughput"] if (one["rows"], one["connections"]) == (1, 32)}
    large = {one["contender"]: one for one in history["measured"] if (one["table"], one["spine"]) == (10**7, 10**6)}
    pushed, memory = push["events_per_second"], online["memory_bytes_an_entity"]
    pairs = [
        (
            "predictions a second (Feast behind FastAPI, with ONNX Runtime)",
            busy[OURS]["per_second"],
            busy[STACK]["per_second"],
        ),
        ("rows pushed a second, 32 writers", pushed[servers.OURS]["32"], pushed[servers.FEAST]["32"]),
        ("rows materialized a second", rate(filled, OUR_MATERIALIZE), rate(filled, FEAST_MATERIALIZE)),
    ]
    rows = [[what, f"{ours:,.0f}", f"{other:,.0f}", f"{ours / other:.1f} times"] for what, ours, other in pairs]
    ours, other = large[OUR_JOIN], large[FEAST_DUCKDB]
    rows.append(
        _less("seconds to join 10M rows to 1M labels (Feast on DuckDB)", ours["seconds"], other["seconds"], ".1f")
    )
    rows.append(_less("GB of memory for that join", ours["peak_bytes"] / 1e9, other["peak_bytes"] / 1e9, ".2f"))
    rows.append(_less("bytes an entity in Redis, 5 views of 10 features", memory["ours"], memory["feast"], ".0f"))
    return table(["", "Skewless", "Feast", ""], rows)


def price() -> str:
    """The table of `skewless skew-price`."""
    found = json.loads(PRICE.read_text())
    fresh = found["honest"]
    rows = [
        ["kept fresh (Skewless)", _pair(fresh), _pair(fresh)],
        [
            "events stamped at their scheduled time, joined at departure",
            _pair(found["scheduled_offline"]),
            _pair(found["scheduled_served"]),
        ],
        ["the first model, its store refreshed at midnight only", _pair(fresh), _pair(found["daily_refresh"])],
    ]
    often = sorted(
        (int(hours) for hours in found["refreshed"] if found["refreshed"][hours] != found["daily_refresh"]),
        reverse=True,
    )
    rows += [[f"... refreshed every {hours} h", _pair(fresh), _pair(found["refreshed"][str(hours)])] for hours in often]
    shown = table(["model and features", "promised offline: AUC / logloss", "served: AUC / logloss"], rows)
    return f"{shown}\n\nA constant has a logloss of {fresh['constant_logloss']:.4f}."


def _read(name: str) -> Any:
    return json.loads((RESULTS / f"{name}.json").read_text())


def _less(what: str, ours: float, other: float, form: str) -> list[str]:
    return [what, format(ours, form), format(other, form), f"{ours / other:.2f} of it"]


def _pair(found: dict[str, float]) -> str:
    return f"{found['auc']:.4f} / {found['logloss']:.4f}"
