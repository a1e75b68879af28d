"""One run of the benchmark: fill the stores, start all contenders, load them in turn, and put the results together."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families as parsed_metrics
from redis import Redis

from skewless.contract.model import bundle as files
from skewless.contract.state_folder import StateFolders
from skewless.online.store import embedded_valkey
from tests.bench.online import contenders as c
from tests.bench.online.bundle import LEAVES, TREES, offline_scorer, publish_bundle
from tests.bench.online.feast_project import make_project
from tests.bench.online.layouts import FEAST_DEFAULT_LISTPACK, used_memory, write_feast, write_ours
from tests.bench.online.load import arrive, saturate
from tests.bench.online.workload import ENTITIES, FIELDS, ROW_COUNTS, USED, VIEWS, Workload, workload, write_bodies

CONNECTIONS = (1, 8, 32)
LATENCY_CONNECTIONS = 8
K6_RATES = {1: 2_000, 100: 500}
"""By rows a request: above these k6 itself takes the cores that the server needs."""
_STAT = Path("/proc/stat")
_IDLE_SECONDS = 1.0
_LISTPACK = "hash-max-listpack-value"
Measured = dict[str, Any]
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Pace:
    """How long to measure: rounds and whole seconds of each load."""

    rounds: int
    saturate_s: int
    arrive_rounds: int
    arrive_s: int
    floors_latency: bool


FULL = Pace(rounds=3, saturate_s=3, arrive_rounds=2, arrive_s=8, floors_latency=True)
QUICK = Pace(rounds=1, saturate_s=1, arrive_rounds=1, arrive_s=3, floors_latency=False)


def run(folder: Path, pace: Pace, *, now: int, say: Say, entities: int = ENTITIES) -> Measured:
    """Measure all contenders; `folder` is empty, `now` is in microseconds."""
    began = time.monotonic()
    work = workload(entities, now)
    with ExitStack() as running:
        say("train and publish the model, fill the stores")
        setup, memory = prepared(folder, work, running)
        say("start the contenders")
        started = [running.enter_context(make(setup)) for make in c.ALL]
        scorer = offline_scorer(setup.onnx.parent)
        right = scorer.score(work.matrix())
        asked = c.sample(entities)
        scores = {one.name: c.wrong_scores(one, right, scorer, asked) for one in started if one.name in c.WORKING}
        idle: list[float] = []

        def begin(what: str) -> None:
            idle.append(idle_share())
            say(f"{what} (the machine was {idle[-1]:.0%} idle)")

        throughput = _throughput(started, folder, pace, begin)
        latency = _latency(started, folder, pace, throughput, begin)
        log = _served_log(next(one for one in started if one.name == c.OURS))
    return {
        "pace": asdict(pace),
        "workload": {
            "entities": entities,
            "views": len(VIEWS),
            "features_a_view": len(FIELDS),
            "model_inputs": len(USED),
            "trees": TREES,
            "leaves": LEAVES,
        },
        "scores": scores,
        "memory_bytes_an_entity": memory,
        "throughput": throughput,
        "latency": latency,
        "served_log_rows": log,
        "idle_before_each_round": idle,
        "seconds": round(time.monotonic() - began, 1),
    }


def prepared(folder: Path, work: Workload, running: ExitStack) -> tuple[c.Setup, dict[str, float]]:
    """Bundle, stores, Feast project and bodies; and what an entity takes in each layout, in bytes."""
    entities = len(work.event)
    bundle = publish_bundle(folder / "models", folder / "training", work)
    ours, feast = (running.enter_context(_redis(folder / name)) for name in ("ours", "feast"))
    _set_listpack(feast, FEAST_DEFAULT_LISTPACK)
    with _redis(folder / "feast_1024") as feast_1024:
        stores = {"ours": ours, "feast": feast, "feast_1024": feast_1024}
        before = {name: used_memory(url) for name, url in stores.items()}
        write_ours(ours, work)
        write_feast((feast, feast_1024), work)
        memory = {name: (used_memory(url) - before[name]) / entities for name, url in stores.items()}
    write_bodies(folder, entities)
    project = make_project(folder / "project", feast)
    return c.Setup(folder, folder / "models", bundle / files.MODEL, project, ours), memory


def _throughput(started: Sequence[c.Contender], bodies: Path, pace: Pace, say: Say) -> list[Measured]:
    """Each contender at each number of rows and connections, in rounds that begin with another contender."""
    cases = list(product(ROW_COUNTS, CONNECTIONS))
    found: dict[tuple[str, int, int], list[Mapping[str, float]]] = {}
    for one, rows in product(started, ROW_COUNTS):
        saturate(one, bodies, rows=rows, connections=8, seconds=1)
    for turn in range(pace.rounds):
        say(f"throughput, round {turn + 1} of {pace.rounds}")
        for place, (rows, connections) in enumerate(cases):
            for one in _rotated(started, turn + place):
                result = saturate(
                    one, bodies, rows=rows, connections=connections, seconds=pace.saturate_s, offset=7_919 * turn
                )
                found.setdefault((one.name, rows, connections), []).append(result)
    return [
        {
            "contender": name,
            "rows": rows,
            "connections": connections,
            **_medians(results, ("refused", "broken")),
            "rounds": [round(result["per_second"], 1) for result in results],
        }
        for (name, rows, connections), results in found.items()
    ]


def _latency(
    started: Sequence[c.Contender], bodies: Path, pace: Pace, throughput: Sequence[Measured], say: Say
) -> list[Measured]:
    """At half of the slowest one's capacity for all, and at half of its own capacity for each that does something."""
    capacity = {
        (one["contender"], one["rows"]): one["per_second"]
        for one in throughput
        if one["connections"] == LATENCY_CONNECTIONS
    }
    found: dict[tuple[str, int, str], list[Mapping[str, float]]] = {}
    for turn, rows in product(range(pace.arrive_rounds), ROW_COUNTS):
        say(f"latency, {rows} rows a request, round {turn + 1} of {pace.arrive_rounds}")
        shared = min(capacity[name, rows] for name in c.WORKING) / 2
        for load, one in product(("shared", "own"), _rotated(started, turn)):
            floor = one.name in c.FLOORS
            if floor and (load == "own" or not pace.floors_latency):
                continue
            rate = shared if load == "shared" else min(capacity[one.name, rows] / 2, K6_RATES[rows])
            result = arrive(
                one,
                bodies,
                rows=rows,
                connections=LATENCY_CONNECTIONS,
                rate=max(1, round(rate)),
                seconds=pace.arrive_s,
                offset=7_919 * turn,
            )
            found.setdefault((one.name, rows, load), []).append(result)
    return [
        {"contender": name, "rows": rows, "load": load, **_medians(results, ("failed", "dropped"))}
        for (name, rows, load), results in found.items()
    ]


def _rotated(started: Sequence[c.Contender], by: int) -> list[c.Contender]:
    first = by % len(started)
    return [*started[first:], *started[:first]]


def _medians(results: Sequence[Mapping[str, float]], summed: tuple[str, ...]) -> dict[str, float]:
    """The median of each number over the rounds; of what went wrong, the sum."""
    columns = {name: [result[name] for result in results] for name in results[0]}
    return {name: sum(found) if name in summed else statistics.median(found) for name, found in columns.items()}


def idle_share() -> float:
    """How idle the processors are while the contenders wait: what others take is missing from every result."""
    if not _STAT.exists():
        return 1.0
    before = _ticks()
    time.sleep(_IDLE_SECONDS)
    spent = [after - first for after, first in zip(_ticks(), before, strict=True)]
    return round((spent[3] + spent[4]) / max(1, sum(spent)), 3)


def _ticks() -> list[int]:
    """Processor time since the start: user, nice, system, idle, waiting for input, ... (proc(5))."""
    return [int(ticks) for ticks in _STAT.read_text().split("\n", 1)[0].split()[1:9]]


def _served_log(ours: c.Contender) -> dict[str, float]:
    """Rows that the served log wrote and dropped."""
    told = httpx.get(f"{ours.url}/metrics", timeout=10).text
    samples = {s.name: s.value for family in parsed_metrics(told) for s in family.samples if not s.labels}
    return {kind: samples[f"skewless_served_log_{kind}_rows_total"] for kind in ("written", "dropped", "lost")}


@contextmanager
def _redis(folder: Path) -> Iterator[str]:
    """A server of its own, on a port, since Feast connects to nothing else."""
    with embedded_valkey.running(StateFolders(folder), port=embedded_valkey.FREE_PORT) as server:
        yield server.url


def _set_listpack(url: str, value: int) -> None:
    with Redis.from_url(url) as client:
        client.config_set(_LISTPACK, value)
