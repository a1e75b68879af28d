"""What a run found, as Markdown: the tables of the results page, made from the results file and nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from tests.bench.online.contenders import ASGI, FASTAPI, FEAST, FLOORS, OURS, STACK, WORKING

Results = dict[str, Any]
MARK = re.compile(r"(?<=<!-- bench-online -->\n)(.*?)(?=<!-- /bench-online -->)", re.DOTALL)
TITLES = {
    OURS: "**Skewless**, everything on",
    STACK: "FastAPI + Feast SDK + ONNX Runtime",
    FEAST: "`feast serve` (features only)",
    FASTAPI: "empty FastAPI route",
    ASGI: "empty ASGI application",
}
_LATENCY = (
    "**Latency in ms** (k6, constant arrivals on 8 connections, more only while all of these wait). *Same*: half of what "
    "the slowest can do, for all. *Own*: half of one's own capacity, as far as k6 can drive it beside the server."
)
_MEMORY = (
    "**Memory an entity**: {ours:.0f} bytes, in Feast's layout {feast:.0f} "
    "({feast_1024:.0f} with `hash-max-listpack-value 1024`)."
)
_LOADS = ((1, 1), (1, 8), (1, 32), (100, 1), (100, 8), (100, 32))


@dataclass(frozen=True, slots=True)
class Bar:
    """A promise: `found` is to be at least `needed`, or at most."""

    what: str
    needed: float
    at_least: bool
    found: float

    @property
    def reached(self) -> bool:
        return self.found >= self.needed if self.at_least else self.found <= self.needed


def bars(results: Results) -> list[Bar]:
    """What the issue asks for, and what came out."""
    memory = results["memory_bytes_an_entity"]
    per_second = {key: found["per_second"] for key, found in _throughput(results).items()}
    busy = {name: _throughput(results)[name, 1, 8]["p99_ms"] for name in (OURS, STACK)}
    steady = {name: _latency(results)[name, 1, "shared"]["p99_ms"] for name in (OURS, STACK)}

    def ratio(other: str, rows: int, connections: int) -> float:
        return float(per_second[OURS, rows, connections] / per_second[other, rows, connections])

    return [
        Bar("1 row, 32 connections: requests/s ÷ assembled stack", 20, True, ratio(STACK, 1, 32)),
        Bar("1 row, 32 connections: requests/s ÷ empty ASGI application", 0.5, True, ratio(ASGI, 1, 32)),
        Bar("100 rows, 8 connections: requests/s ÷ assembled stack", 60, True, ratio(STACK, 100, 8)),
        Bar("1 row, 8 connections, saturated: p99 ÷ assembled stack", 0.1, False, busy[OURS] / busy[STACK]),
        Bar("1 row, 8 connections, same arrivals: p99 ÷ assembled stack", 0.1, False, steady[OURS] / steady[STACK]),
        Bar("memory an entity ÷ Feast's layout", 0.65, False, memory["ours"] / memory["feast"]),
    ]


def markdown(results: Results) -> str:
    """Everything between the page's marks."""
    machine, versions = results["machine"], results["versions"]
    told = ", ".join(f"{name} {version}" for name, version in versions.items())
    memory = results["memory_bytes_an_entity"]
    idle = min(results["idle_before_each_round"])
    intro = (
        f"`{results['command']}` on {results['date'][:10]}, {machine['cpu']}, {machine['cores']} cores that servers, "
        f"Valkey and load generator share; {told}. All in one run, in turns, medians of {results['pace']['rounds']} "
        f"rounds (latency: of {results['pace']['arrive_rounds']}); one uvicorn worker each, `uvloop` and `httptools`. Before each round the machine was {idle:.0%} idle "
        "or more, so what others ran at the time is in the numbers."
    )
    parts = [
        intro,
        "**Requests a second** (wrk; rows a request / connections):",
        _throughput_table(results),
        _LATENCY,
        _latency_table(results),
        _MEMORY.format(**memory),
        "**Right?** " + _scores(results),
        "**Bars**",
        _bars_table(bars(results)),
    ]
    return "\n\n".join(parts) + "\n"


def paste(text: str, results: Results) -> str:
    """The page with this run's tables between its marks."""
    assert MARK.search(text), "the page has no bench-online marks"
    return MARK.sub(lambda _: markdown(results), text)


def _throughput_table(results: Results) -> str:
    found = _throughput(results)
    lines = [["", *(f"{rows} / {connections}" for rows, connections in _LOADS)]]
    for name, title in TITLES.items():
        lines.append([title, *(_number(found[name, *load]["per_second"]) for load in _LOADS)])
    for other in (STACK, ASGI):
        ratios = [found[OURS, *load]["per_second"] / found[other, *load]["per_second"] for load in _LOADS]
        lines.append([f"Skewless ÷ {TITLES[other]}", *map(_number, ratios)])
    return _table(lines)


def _latency_table(results: Results) -> str:
    lines = [["", "rows", "arrivals/s", "p50", "p99", "p99.9", "sent", "not sent"]]
    found = _latency(results)
    for rows in (1, 100):
        for load in ("shared", "own"):
            for name, title in TITLES.items():
                if (one := found.get((name, rows, load))) is not None:
                    said = "same" if load == "shared" else "own"
                    times = [_number(one[f"{part}_ms"]) for part in ("p50", "p99", "p999")]
                    counts = [f"{one[kind]:,.0f}" for kind in ("requests", "dropped")]
                    lines.append([title, str(rows), f"{said}: {one['rate']:,.0f}", *times, *counts])
    return _table(lines)


def _scores(results: Results) -> str:
    told = []
    for name in WORKING:
        one = results["scores"][name]
        verdict = "equal the offline scores to the bit"
        if one["wrong"]:
            verdict = f"**WRONG in {one['wrong']:.0f}, greatest gap {one['greatest_gap']:.2g}**"
        told.append(f"{TITLES[name]}: {one['rows']:.0f} scores, {verdict}")
    failed = sum(one["refused"] + one["broken"] for one in results["throughput"])
    failed += sum(one["failed"] for one in results["latency"])
    log = results["served_log_rows"]
    return (
        "; ".join(told) + f". Failed requests: {failed:,.0f}. "
        f"Served log: {log['written']:,.0f} rows written, {log['dropped']:,.0f} dropped because the queue was full."
    )


def _bars_table(found: Iterable[Bar]) -> str:
    lines = [["bar", "needed", "found", ""]]
    for bar in found:
        needed = f"{'≥' if bar.at_least else '≤'} {bar.needed:g}"
        lines.append([bar.what, needed, _number(bar.found), "reached" if bar.reached else "**not reached**"])
    return _table(lines)


def _throughput(results: Results) -> dict[tuple[str, int, int], dict[str, float]]:
    return {(one["contender"], one["rows"], one["connections"]): one for one in results["throughput"]}


def _latency(results: Results) -> dict[tuple[str, int, str], dict[str, float]]:
    return {(one["contender"], one["rows"], one["load"]): one for one in results["latency"]}


def _number(value: float) -> str:
    """Three digits that count."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _table(lines: Sequence[Sequence[str]]) -> str:
    head, *rows = lines
    marks = ["---", *("---:" for _ in head[1:])]
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, marks, *rows))


assert set(TITLES) == {*WORKING, *FLOORS}
